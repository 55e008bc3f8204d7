package e2e_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// relay stands between agents and their ingest, delays requests, and records
// them. It delivers everything that an agent sent, even if that agent has been
// killed.
type relay struct {
	addr   string // of the ingest
	client *http.Client

	mu    sync.Mutex
	rng   *rand.Rand       // guarded by mu, like the fields below
	sent  map[string]bool  // ids of batches sent by an agent
	acked map[string]bool  // ids that the ingest acknowledged
	fault http.HandlerFunc // answers instead of the ingest, unless it is nil
}

func newRelay(in *ingest, seed uint64) *relay {
	return &relay{
		addr: in.addr, client: in.client, rng: rand.New(rand.NewPCG(seed, 1)),
		sent: make(map[string]bool), acked: make(map[string]bool),
	}
}

func (r *relay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	id := request.Header.Get("Idempotency-Key")
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the agent was killed while it sent
	}
	there, back, fault := r.take(id)
	if fault != nil {
		fault(w, request)
		return
	}
	time.Sleep(there)
	status, answer, err := r.forward(request, body)
	if err != nil {
		panic(http.ErrAbortHandler) // what the agent would see without a relay
	}
	if status == http.StatusOK {
		r.mu.Lock()
		r.acked[id] = true
		r.mu.Unlock()
	}
	time.Sleep(back)
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// take records a batch, and draws the delays of the batch and its answer.
func (r *relay) take(id string) (there, back time.Duration, fault http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[id] = true
	return r.upTo(50 * time.Millisecond), r.upTo(100 * time.Millisecond), r.fault
}

// set changes who answers from now on.
func (r *relay) set(fault http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// upTo returns 0 half of the time. mu must be held.
func (r *relay) upTo(most time.Duration) time.Duration {
	return max(0, time.Duration(r.rng.Int64N(2*int64(most)))-most)
}

func (r *relay) forward(request *http.Request, body []byte) (status int, answer []byte, err error) {
	onward, err := http.NewRequestWithContext(context.WithoutCancel(request.Context()), request.Method,
		"https://"+r.addr+request.URL.Path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	onward.Header = request.Header.Clone()
	response, err := r.client.Do(onward)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// seen returns copies of what was sent, and of what was acknowledged.
func (r *relay) seen() (sent, acked []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.sent {
		sent = append(sent, id)
	}
	for id := range r.acked {
		acked = append(acked, id)
	}
	return sent, acked
}
