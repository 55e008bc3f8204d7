package shiptest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// Ingest is the http.Handler of a backend that takes native batches and
// de-duplicates them by key alone: a batch, a part of it, and either with series
// left out are different to it. It keeps all it ever accepted, to be asked
// whether that is everything, once. Make one with NewIngest; safe for concurrent
// use.
type Ingest struct {
	mu        sync.Mutex
	behaviour Behaviour // guarded by mu, like all below
	requests  []time.Time
	busy      int
	busiest   int
	repeats   int64
	arrivals  []Arrival
	bodies    map[string][sha256.Size]byte // of the plain body, by key
	wrong     error                        // the first request that was
}

// Arrival is a batch, or a part of one, with or without series left out, when it
// arrived for the first time.
type Arrival struct {
	// Key is the Idempotency-Key that it came with, which is its id.
	Key string
	// At is when it had arrived.
	At time.Time
	*metric.Batch
}

// NewIngest returns an ingest that behaves well.
func NewIngest() *Ingest { return &Ingest{bodies: make(map[string][sha256.Size]byte)} }

// Behave changes how requests are answered from now on; nil is well again.
// Those under way end as they began.
func (i *Ingest) Behave(b Behaviour) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.behaviour = b
}

// ServeHTTP answers one request, by way of the behaviour.
func (i *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler := i.begin()
	defer i.end()
	handler.ServeHTTP(w, r)
}

func (i *Ingest) begin() http.Handler {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests = append(i.requests, time.Now())
	i.busy++
	i.busiest = max(i.busiest, i.busy)
	if i.behaviour == nil {
		return http.HandlerFunc(i.take)
	}
	return i.behaviour(http.HandlerFunc(i.take))
}

func (i *Ingest) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.busy--
}

// take is what an ingest does that is well.
func (i *Ingest) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil { // the client went away: nothing is wrong with what it sent
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	status, points, err := i.accept(r.Header.Get("Idempotency-Key"), body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"batch_id":%q,"status":%q,"points":%d}`, r.Header.Get("Idempotency-Key"), status, points)
}

func (i *Ingest) accept(key string, body []byte) (status string, points int64, err error) {
	plain, batch, err := decode(body)
	i.mu.Lock()
	defer i.mu.Unlock()
	hash := sha256.Sum256(plain)
	before, known := i.bodies[key]
	switch {
	case err != nil:
	case batch.ID() != key:
		err = fmt.Errorf("the key %q came with the batch %s", key, batch.ID())
	case known && before != hash:
		err = fmt.Errorf("the key %s came with two contents", key)
	case known:
		i.repeats++
		return "duplicate", batch.Points(), nil
	default:
		i.bodies[key] = hash
		i.arrivals = append(i.arrivals, Arrival{key, time.Now(), batch})
		return "accepted", batch.Points(), nil
	}
	if i.wrong == nil {
		i.wrong = err
	}
	return "", 0, err
}

func decode(body []byte) (plain []byte, batch *metric.Batch, err error) {
	if plain, err = ship.Decompress(body); err == nil {
		batch, err = encode.Native{}.Decode(plain)
	}
	return plain, batch, err
}

// Arrivals returns what was accepted, in order of arrival; the caller must not
// change the batches.
func (i *Ingest) Arrivals() []Arrival {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.arrivals)
}

// Batches counts arrivals.
func (i *Ingest) Batches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.arrivals)
}

// Requests returns when each request began, answered or not.
func (i *Ingest) Requests() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.requests)
}

// Repeats counts batches that arrived again.
func (i *Ingest) Repeats() int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.repeats
}

// Busiest returns how many requests were under way at one time, at most. One
// that its client gave up counts until the server notices.
func (i *Ingest) Busiest() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.busiest
}

// Exactly returns nil if the ticks 1 to n of a Producer arrived, each in one
// batch or part and no other, and every request that got through was right:
// its key the id in its body, and never the same key with another content. The
// ticks but, given in any order, must not have arrived.
func (i *Ingest) Exactly(n int64, but ...int64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.wrong != nil {
		return fmt.Errorf("a wrong request: %w", i.wrong)
	}
	seen := make(map[int64]int, n)
	for _, a := range i.arrivals {
		for _, tick := range ticksOf(a.Batch) {
			seen[tick]++
		}
	}
	var problems []error
	for tick := int64(1); tick <= n && len(problems) < 5; tick++ {
		want := 1
		if slices.Contains(but, tick) {
			want = 0
		}
		if times := seen[tick]; times != want {
			problems = append(problems, fmt.Errorf("tick %d of %d arrived %d times", tick, n, times))
		}
		delete(seen, tick)
	}
	if len(problems) == 0 && len(seen) > 0 {
		problems = append(problems, fmt.Errorf("%d ticks arrived beyond %d", len(seen), n))
	}
	return errors.Join(problems...)
}

func ticksOf(b *metric.Batch) (ticks []int64) {
	for _, column := range b.Series {
		if column.Name != TickName {
			continue
		}
		for _, v := range column.Values {
			if !v.IsNull() {
				ticks = append(ticks, v.Int64())
			}
		}
	}
	return ticks
}
