package shiptest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// refusing answers with a status what bad says of a batch, and is well to all
// others. A body that cannot be read as a batch is left to the ingest.
func refusing(code int, bad func(*metric.Batch) bool) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			batch := peek(r)
			if batch != nil && bad(batch) {
				Status(code)(well).ServeHTTP(w, r)
				return
			}
			well.ServeHTTP(w, r)
		})
	}
}

// Poison answers with a status whatever holds one of these ticks of a Producer:
// the point that numbers it, for the others of a tick do not tell.
func Poison(code int, ticks ...int64) Behaviour {
	return refusing(code, func(b *metric.Batch) bool {
		return slices.ContainsFunc(ticksOf(b), func(tick int64) bool { return slices.Contains(ticks, tick) })
	})
}

// Limited answers 413 to bodies of more bytes, as sent, than most. It does not
// read them, and closes the connection, as servers do that trust Content-Length.
func Limited(most int64) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength <= most {
				well.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Connection", "close")
			http.Error(w, "request entity too large", http.StatusRequestEntityTooLarge)
		})
	}
}

// Takes answers 415 to bodies whose Content-Encoding is none of these; that of
// plain ones is empty.
func Takes(encodings ...string) Behaviour {
	refuses := Status(http.StatusUnsupportedMediaType)
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if slices.Contains(encodings, r.Header.Get("Content-Encoding")) {
				well.ServeHTTP(w, r)
				return
			}
			refuses(well).ServeHTTP(w, r)
		})
	}
}

// LeavesOut takes batches without the series for which refused reports true, for
// good, and says so. What arrives at the ingest is the rest.
func LeavesOut(reason string, refused func(*metric.Series) bool) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			batch := peek(r)
			if batch == nil {
				well.ServeHTTP(w, r)
				return
			}
			type rejected struct {
				Series int    `json:"series"`
				Reason string `json:"reason"`
			}
			var answer struct {
				BatchID  string     `json:"batch_id"`
				Status   string     `json:"status"`
				Points   int64      `json:"points"`
				Rejected []rejected `json:"rejected"`
			}
			var rest []metric.Column
			for i, column := range batch.Series {
				if refused(column.Series) {
					answer.Rejected = append(answer.Rejected, rejected{i, reason})
				} else {
					rest = append(rest, column)
				}
			}
			batch.Series = rest
			r.Body = io.NopCloser(bytes.NewReader(encode.Native{}.Append(nil, batch)))
			if json.Unmarshal(record(well, r), &answer) != nil {
				http.Error(w, "the ingest refused the rest", http.StatusBadRequest)
				return
			}
			_ = json.NewEncoder(w).Encode(&answer)
		})
	}
}

// peek returns the batch of a request, which can be read again; nil if it holds
// none.
func peek(r *http.Request) *metric.Batch {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	_, batch, err := decode(body)
	if err != nil {
		return nil
	}
	return batch
}
