package ship

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

const (
	// maxRounds is how many requests one attempt may take of a backend that takes
	// a batch bit by bit.
	maxRounds = 256
	// busyFirst and busyMax are how long an attempt waits for a backend that took
	// some points and was too busy for others, first and at most; busyRounds is
	// how often. It is no outage, so delivery as a whole does not back off yet.
	busyFirst  = 500 * time.Millisecond
	busyMax    = 4 * time.Second
	busyRounds = 8
	// badRounds is how often an attempt leaves out what a backend calls bad; more
	// of it is found by halving the batch.
	badRounds = 16
)

// rest is what is left to send of a batch. A point that is not is a null in it,
// so that the places of the others stay what they are.
type rest struct {
	id       string
	batch    *metric.Batch
	points   int64
	rejected metric.Rejected
	outside  []metric.Place // of those in rejected: they were never sent
}

// translate sends a native body in the format of the backend. What the backend
// took of it before is not sent again, for as long as nothing else was sent.
func (c *Client) translate(ctx context.Context, p Payload) Outcome {
	r := c.rest
	c.rest = nil
	if r == nil || r.id != p.ID {
		var err error
		if r, err = c.read(p); err != nil {
			return Outcome{Verdict: Decline, Cause: err.Error(), Unsent: true}
		}
	}
	r.leaveOut(time.Now(), c.cfg.Backend)
	if r.points == 0 && p.Points > 0 {
		return r.outcome(Outcome{Verdict: Acked, Unsent: true})
	}
	o := c.rounds(ctx, p, r)
	switch {
	case o.Verdict == Acked:
		return r.outcome(o)
	case o.Verdict == Retry && r.points < p.Points:
		c.rest = r
	}
	return o
}

// rounds sends what is left of a batch for as long as the backend takes some of it.
func (c *Client) rounds(ctx context.Context, p Payload, r *rest) Outcome {
	busy, bad := 0, 0
	for range maxRounds {
		before := r.points
		o, more := c.round(ctx, p, r)
		if !more {
			return o
		}
		switch o.Verdict {
		case Retry:
			if busy++; busy > busyRounds || r.points >= before || !pause(ctx, busy) {
				return o
			}
		case Reject:
			if bad++; bad > badRounds || r.points >= before {
				return o
			}
		default:
			if r.points >= before {
				o.Verdict = Retry
				return o
			}
		}
	}
	return Outcome{Verdict: Retry, Cause: fmt.Sprintf("the endpoint took %d requests and has not all of the batch", maxRounds)}
}

// round makes one request for what is left of a batch. more says that the
// backend took it in part: what is left then is to be sent again.
func (c *Client) round(ctx context.Context, p Payload, r *rest) (o Outcome, more bool) {
	body, tooLarge, err := c.encode(r.batch, p.Compression)
	switch {
	case err != nil:
		return Outcome{Verdict: Decline, Cause: err.Error(), Unsent: true}, false
	case tooLarge != "":
		return Outcome{Verdict: TooLarge, Cause: tooLarge, Unsent: true}, false
	}
	o, again := c.attempt(ctx, body.of(p), backend.Sent{ID: p.ID, Points: r.points, Batch: r.batch})
	if o.Verdict == Acked || (o.Verdict == Retry || o.Verdict == Reject) && len(again) > 0 {
		r.reject(o)
		more = len(again) > 0 && r.keep(again)
	}
	return o, more
}

// pause waits before the next round with a busy backend, longer each time. It
// reports false when there is no time for it.
func pause(ctx context.Context, round int) bool {
	most := min(busyFirst<<(round-1), busyMax)
	timer := time.NewTimer(most/2 + rand.N(most/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// read returns all of a payload's batch.
func (c *Client) read(p Payload) (*rest, error) {
	plain, err := Decompress(p.Body)
	if err != nil {
		return nil, err
	}
	b, err := c.cfg.Decode(plain)
	if err != nil {
		return nil, err
	}
	return &rest{id: p.ID, batch: b, points: b.Points()}, nil
}

// wireBody is a body in the format of the backend.
type wireBody struct {
	bytes       []byte
	compression Compression
}

func (b wireBody) of(p Payload) Payload {
	return Payload{ID: p.ID, Points: p.Points, Body: b.bytes, Compression: b.compression}
}

// encode makes the body of a batch. tooLarge says by which limit of the backend
// it is; no request is made then.
func (c *Client) encode(b *metric.Batch, kind Compression) (body wireBody, tooLarge string, err error) {
	backend := &c.cfg.Backend
	if taken := backend.Compressions; kind != CompressionNone && !slices.Contains(taken, string(kind)) {
		kind = CompressionNone
		if len(taken) > 0 {
			kind = Compression(taken[0])
		}
	}
	compress := c.compressors[kind]
	if compress == nil {
		if compress, err = newCompressor(kind); err != nil {
			return body, "", err
		}
		c.compressors[kind] = compress
	}
	c.scratch = backend.Format.Append(c.scratch[:0], b)
	if most := backend.Limits.PlainBytes; most > 0 && len(c.scratch) > most {
		return body, fmt.Sprintf("its %d bytes are more than the %d that %s takes", len(c.scratch), most, backend.Name), nil
	}
	body = wireBody{compression: kind}
	if body.bytes, err = compress.compress(c.scratch); err != nil {
		return body, "", err
	}
	if most := backend.Limits.Bytes; most > 0 && len(body.bytes) > most {
		return body, fmt.Sprintf("its %d bytes, compressed, are more than the %d that %s takes", len(body.bytes), most, backend.Name), nil
	}
	return body, "", nil
}

// leaveOut takes out the ticks that the backend would drop without a word.
func (r *rest) leaveOut(now time.Time, b backend.Backend) {
	for tick, ms := range r.batch.Times {
		age := now.Sub(time.UnixMilli(ms))
		old := b.Limits.MaxAge > 0 && age > b.Limits.MaxAge
		if !old && (b.Limits.MaxAhead == 0 || age >= -b.Limits.MaxAhead) {
			continue
		}
		for series := range r.batch.Series {
			at := metric.Place{Series: series, Time: tick}
			if r.refuse(at, outside(b, old)) {
				r.outside = append(r.outside, at)
			}
		}
	}
}

func outside(b backend.Backend, old bool) string {
	if old {
		return fmt.Sprintf("older than %s: %s would drop it without a word", b.Limits.MaxAge, b.Name)
	}
	return fmt.Sprintf("more than %s in the future: %s would drop it without a word", b.Limits.MaxAhead, b.Name)
}

// refuse takes out a point that is refused for good, and reports whether it was
// there.
func (r *rest) refuse(at metric.Place, reason string) bool {
	value := r.at(at)
	if value == nil || value.IsNull() {
		return false
	}
	*value = metric.Value{}
	r.points--
	r.rejected.Points++
	if r.rejected.Reason == "" {
		r.rejected.Reason = reason
	}
	return true
}

func (r *rest) at(at metric.Place) *metric.Value {
	if at.Series < 0 || at.Series >= len(r.batch.Series) || at.Time < 0 || at.Time >= len(r.batch.Times) {
		return nil
	}
	return &r.batch.Series[at.Series].Values[at.Time]
}

// reject takes what the backend refused of what it otherwise took.
func (r *rest) reject(o Outcome) {
	named := r.rejected.Points
	places := o.RejectedPlaces
	for _, series := range o.RejectedSeries {
		for tick := range r.batch.Times {
			places = append(places, metric.Place{Series: series, Time: tick})
		}
	}
	for _, at := range places {
		if r.refuse(at, o.Cause) {
			r.rejected.Places = append(r.rejected.Places, at)
		}
	}
	named = r.rejected.Points - named
	if unnamed := min(o.RejectedPoints-named, r.points); unnamed > 0 {
		r.rejected.Points += unnamed
		if r.rejected.Reason == "" {
			r.rejected.Reason = o.Cause
		}
	}
}

// keep leaves those points that are to be sent again. It reports whether there
// are any.
func (r *rest) keep(again []metric.Place) bool {
	values := make([]metric.Value, len(again))
	for i, at := range again {
		if v := r.at(at); v != nil {
			values[i] = *v
		}
	}
	for i := range r.batch.Series {
		clear(r.batch.Series[i].Values)
	}
	r.points = 0
	for i, at := range again {
		if v := r.at(at); v != nil && v.IsNull() && !values[i].IsNull() {
			*v = values[i]
			r.points++
		}
	}
	return r.points > 0
}

// outcome is that of all requests for the batch: what was refused since it was
// read.
func (r *rest) outcome(o Outcome) Outcome {
	return Outcome{
		Verdict: o.Verdict, Status: o.Status, Unsent: o.Unsent,
		Cause: r.rejected.Reason, RejectedPoints: r.rejected.Points, RejectedPlaces: r.rejected.Places,
		OutsidePlaces: r.outside,
	}
}
