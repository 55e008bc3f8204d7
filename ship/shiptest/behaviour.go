package shiptest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Behaviour is a way to answer requests, wrapped around the one that is well.
// Any middleware is one. It is called for each request.
type Behaviour func(well http.Handler) http.Handler

// answering is a Behaviour that does not ask the ingest. It reads the request
// to its end, as net/http only then sees a client leave.
func answering(f http.HandlerFunc) Behaviour {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			f(w, r)
		})
	}
}

// Status answers with a status, and with the words of an error.
func Status(code int) Behaviour { return StatusWith(code, nil) }

// StatusWith answers with a status and headers. Set Date to answer with
// another clock; with an empty value there is none.
func StatusWith(code int, header map[string]string) Behaviour {
	return answering(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
			if value == "" {
				w.Header()[name] = nil
			}
		}
		w.WriteHeader(code)
		if code >= http.StatusBadRequest {
			_, _ = io.WriteString(w, strings.ToLower(http.StatusText(code))+"\n")
		}
	})
}

// Body answers with a status and a body of a type.
func Body(code int, contentType, body string) Behaviour {
	return answering(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	})
}

// Redirect answers every request with a redirect.
func Redirect(code int, to string) Behaviour {
	return StatusWith(code, map[string]string{"Location": to})
}

// First applies a behaviour to the first n requests, and is well from there.
func First(n int, b Behaviour) Behaviour {
	var mu sync.Mutex
	return func(well http.Handler) http.Handler {
		mu.Lock()
		defer mu.Unlock()
		if n--; n < 0 {
			return well
		}
		return b(well)
	}
}

// Sleepy is well, after d.
func Sleepy(d time.Duration) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if wait(r, d) {
				well.ServeHTTP(w, r)
			}
		})
	}
}

// Silent never answers.
func Silent() Behaviour {
	return answering(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Deaf neither reads the request nor answers.
func Deaf() Behaviour {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}
}

// Dripping takes the batch, and gives its answer a byte at a time, every d.
func Dripping(d time.Duration) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := record(well, r)
			for _, b := range answer {
				if !wait(r, d) {
					return
				}
				_, _ = w.Write([]byte{b})
				flush(w)
			}
		})
	}
}

// Truncated takes the batch, promises its answer, and gives all but the last n
// bytes of it before it ends the connection, or the stream.
func Truncated(n int) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := record(well, r)
			w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
			_, _ = w.Write(answer[:max(len(answer)-n, 0)])
			flush(w)
			panic(http.ErrAbortHandler)
		})
	}
}

// Endless takes the batch, begins to answer, and never ends: every d there are
// n more bytes, as long as the client reads them. It calls sent, if not nil,
// with what it has sent to one request, from several goroutines.
func Endless(n int, d time.Duration, sent func(total int)) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(record(well, r))
			chunk := bytes.Repeat([]byte{' '}, n)
			for total := 0; wait(r, d); {
				if _, err := w.Write(chunk); err != nil {
					return
				}
				flush(w)
				if total += n; sent != nil {
					sent(total)
				}
			}
		})
	}
}

// Aborted ends the connection without an answer; over HTTP/2, the stream.
func Aborted() Behaviour {
	return answering(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Forgetful takes the batch, and ends the connection without an answer: the
// client has to send it again.
func Forgetful() Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			record(well, r)
			panic(http.ErrAbortHandler)
		})
	}
}

// OneShot is well, and closes the connection after each answer; over HTTP/2
// with a GOAWAY.
func OneShot() Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			well.ServeHTTP(w, r)
		})
	}
}

// Boastful takes the batch, and answers with headers of n bytes in all.
func Boastful(n int) Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < n; i += 4 << 10 {
				w.Header().Set(fmt.Sprintf("X-Boast-%d", i), strings.Repeat("x", 4<<10))
			}
			well.ServeHTTP(w, r)
		})
	}
}

// Promising answers with an informational status, 100 or 103, every d, and
// with nothing else ever.
func Promising(code int, d time.Duration) Behaviour {
	return answering(func(w http.ResponseWriter, r *http.Request) {
		for wait(r, d) {
			w.WriteHeader(code)
		}
	})
}

// Zipped takes the batch, and compresses the answer, though nobody asked for
// that.
func Zipped() Behaviour {
	return func(well http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(record(well, r))
			_ = z.Close()
		})
	}
}

// Echoing answers with a status, and repeats the credentials it was sent.
func Echoing(code int) Behaviour {
	return answering(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, fmt.Sprintf("no: %s %s", r.Header.Get("X-Api-Key"), r.Header.Get("Authorization")), code)
	})
}

// record lets the ingest take the batch, and returns what it said.
func record(well http.Handler, r *http.Request) []byte {
	recorder := httptest.NewRecorder()
	well.ServeHTTP(recorder, r)
	return recorder.Body.Bytes()
}

// wait reports whether d passed before the request ended.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
