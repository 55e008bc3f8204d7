package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// postBatch stores a batch and acknowledges it only after it is on disk.
func (s *Server) postBatch(w http.ResponseWriter, r *http.Request) {
	charge := charge{budget: s.budget}
	defer charge.release()
	ack, err := s.ingest(r, &charge)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if len(ack.Rejected) > 0 {
		s.refused.Warn().Str("batch_id", ack.BatchID).Str("agent", r.Header.Get("X-Agent-Id")).
			Int("series", max(len(ack.Rejected), ack.RejectedSeries)).Str("first", ack.Rejected[0].Reason).Msg("stored without some of its series")
	}
	writeJSON(w, http.StatusOK, ack)
}

func (s *Server) ingest(r *http.Request, c *charge) (wire.Ack, error) {
	b, err := s.decode(r, c)
	if err != nil {
		return wire.Ack{}, err
	}
	if err := checkKeys(r.Header, b.ID); err != nil {
		return wire.Ack{}, err
	}
	ack, err := s.cfg.Storage.Add(b)
	switch {
	case errors.Is(err, store.ErrBusy):
		return ack, &refusal{status: http.StatusTooManyRequests, reason: "overloaded: " + err.Error()}
	case err != nil:
		s.cfg.Log.Error().Err(err).Str("batch_id", b.ID).Msg("batch not stored; its agent will send it again")
		return ack, &refusal{status: http.StatusServiceUnavailable, reason: "cannot store batches now"}
	}
	return ack, nil
}

// decode reads the body and decodes the batch. It reads the body before it
// takes one of the decoders' tokens, so that a slow client does not delay
// others.
func (s *Server) decode(r *http.Request, c *charge) (*wire.Batch, error) {
	inflate, err := inflaterFor(r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	sent, err := readSent(r, c, s.cfg.MaxBodyBytes)
	if err != nil {
		return nil, err
	}
	select {
	case s.decoders <- struct{}{}:
		defer func() { <-s.decoders }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	plain, err := inflate(sent, c, s.cfg.MaxBodyBytes)
	if err != nil {
		return nil, err
	}
	b, err := wire.Decode(plain)
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, reason: err.Error()}
	case err != nil:
		return nil, &refusal{status: http.StatusBadRequest, reason: err.Error()}
	}
	return b, nil
}

// checkKeys compares the idempotency keys, if any, with the batch's id. A proxy
// may act on the key while this server acts on the id, so they must agree.
func checkKeys(h http.Header, id string) error {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if key := h.Get(name); key != "" && key != id {
			return &refusal{status: http.StatusBadRequest, reason: fmt.Sprintf("%s: want the batch_id %s", name, id)}
		}
	}
	return nil
}

// retryAfter returns a random delay, so that rejected clients do not all come
// back at once.
func retryAfter() string { return strconv.Itoa(1 + rand.IntN(5)) }
