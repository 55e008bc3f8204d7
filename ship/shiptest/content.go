package shiptest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// judging is a Behaviour that depends on what is sent: with a status of 0 the
// ingest answers.
func judging(judge func(r *http.Request, body []byte, b *metric.Batch) (code int)) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return // the client went away
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			_, b, err := decode(body)
			if err != nil {
				b = &metric.Batch{}
			}
			if code := judge(r, body, b); code != 0 {
				http.Error(w, http.StatusText(code), code)
				return
			}
			well.ServeHTTP(w, r)
		})
	}
}

// Poisoned answers with a status to whatever holds one of a Producer's ticks.
func Poisoned(code int, ticks ...int64) Behaviour {
	return judging(func(_ *http.Request, _ []byte, b *metric.Batch) int {
		if slices.ContainsFunc(ticksOf(b), func(tick int64) bool { return slices.Contains(ticks, tick) }) {
			return code
		}
		return 0
	})
}

// Narrow answers 413 to bodies of more than so many bytes, as sent.
func Narrow(mostBytes int) Behaviour {
	return judging(func(_ *http.Request, body []byte, _ *metric.Batch) int {
		if len(body) > mostBytes {
			return http.StatusRequestEntityTooLarge
		}
		return 0
	})
}

// Picky answers 415 to any Content-Encoding but one; "" is none.
func Picky(encoding string) Behaviour {
	return judging(func(r *http.Request, _ []byte, _ *metric.Batch) int {
		if r.Header.Get("Content-Encoding") != encoding {
			return http.StatusUnsupportedMediaType
		}
		return 0
	})
}

// Choosy takes batches, and says that it left out the points of the series with
// this index. It calls leftOut with their number.
func Choosy(series int, leftOut func(points int64)) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			record(well, r)
			_, b, err := decode(body)
			if err != nil || series >= len(b.Series) {
				http.Error(w, "no such series", http.StatusBadRequest)
				return
			}
			var points int64
			for _, v := range b.Series[series].Values {
				if !v.IsNull() {
					points++
				}
			}
			leftOut(points)
			fmt.Fprintf(w, `{"batch_id":%q,"status":"accepted","points":%d,"rejected":[{"series":%d,"reason":"not to my taste"}]}`,
				b.ID(), b.Points()-points, series)
		})
	}
}
