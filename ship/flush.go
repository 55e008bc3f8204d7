package ship

import (
	"context"
	"slices"
	"time"
)

// flush is the end of Run: it makes the last ticks a batch, sends what is in
// memory for as long as the backend answers and the shutdown timeout lasts,
// whatever the backoff says, and stores the rest. In strict order nothing is
// sent past a backlog; that is the next start's.
func (s *Shipper) flush(ctx context.Context) {
	// The disk may have kept this from starting when the queue was closed.
	ctx, cancel := context.WithDeadline(ctx, s.queue.state().closedAt.Add(s.cfg.ShutdownTimeout))
	defer cancel()
	now := time.Now()
	s.cut(now)
	s.bound(now)
	if s.cfg.Mode == SpoolAlways {
		s.protect(now)
	}
	answers := true
	if s.inflight != nil {
		_, answers = s.await(ctx)
	}
	s.endSearch()
	if s.strict() && s.spooled(now, 0) != nil {
		answers = false
	}
	type body struct {
		id          string
		compression Compression
	}
	sent := make(map[body]bool) // the same points again would get the same answer
	for _, h := range slices.Clone(s.memory) {
		for goesOn := true; goesOn && answers && slices.Contains(s.memory, h); {
			d := s.prepare(time.Now(), h)
			if d == nil || ctx.Err() != nil || sent[body{d.payload.ID, d.payload.Compression}] {
				break
			}
			sent[body{d.payload.ID, d.payload.Compression}] = true
			s.send(ctx, time.Now(), d)
			goesOn, answers = s.await(ctx)
		}
	}
	s.store()
	s.publish()
}

// await settles the request under way, cancelling it when ctx ends, and reports
// whether the batch may go on, and whether the next one is worth a try.
func (s *Shipper) await(ctx context.Context) (goesOn, answers bool) {
	var o Outcome
	select {
	case o = <-s.results:
	case <-ctx.Done():
		s.cancel()
		o = <-s.results
	}
	s.settle(time.Now(), o)
	s.endSearch()
	goesOn = o.Verdict == Acked || o.Verdict == TooLarge || o.Verdict == Unsupported
	return goesOn, !s.machine.isDown()
}

// store spools whatever was not acknowledged. Where that fails too, the points
// are lost, and counted.
func (s *Shipper) store() {
	var kept, lost int64
	for _, h := range s.memory {
		switch {
		case h.spooled:
		case s.spool != nil && s.spool.Append(h.Entry) == nil:
			kept++
		default:
			refused, rest := s.left(h)
			if refused > 0 {
				s.ledger.Lose(LostRejected, refused)
			}
			lost += rest
		}
	}
	s.endDraft(ID{s.cfg.Agent.Epoch, s.seq})
	s.memory = nil
	s.queue.hold(0)
	if kept > 0 {
		s.log.Info().Int64("batches", kept).Msg("spooled what the backend did not take before the shutdown")
	}
	if lost > 0 {
		s.ledger.Lose(LostShutdown, lost)
		s.log.Error().Int64("points", lost).Msg("lost at shutdown: the backend did not take them, and there is no usable spool")
	}
}
