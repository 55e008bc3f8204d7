package ship

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// maxRounds is how many requests one attempt may take of a backend that takes a
// batch bit by bit.
const maxRounds = 16

// rest is what is left to send of a batch. A point that is not is a null in it,
// so that the places of the others stay what they are.
type rest struct {
	id       string
	batch    *metric.Batch
	points   int64
	rejected metric.Rejected
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
	for range maxRounds {
		body, tooLarge, err := c.encode(r.batch, p.Compression)
		switch {
		case err != nil:
			return Outcome{Verdict: Decline, Cause: err.Error(), Unsent: true}
		case tooLarge != "":
			return Outcome{Verdict: TooLarge, Cause: tooLarge, Unsent: true}
		}
		before := r.points
		o, again := c.attempt(ctx, body.of(p), backend.Sent{ID: p.ID, Points: r.points, Batch: r.batch})
		took := len(again) > 0 && r.keep(again, o)
		switch {
		case o.Verdict == Acked && !took:
			r.reject(o)
			return r.outcome(Outcome{Verdict: Acked, Status: o.Status})
		case o.Verdict != Acked:
			if took {
				c.rest = r
			}
			return o
		case r.points >= before:
			return Outcome{Verdict: Retry, Status: o.Status, Cause: "the endpoint takes nothing of the batch"}
		}
	}
	c.rest = r
	return Outcome{Verdict: Retry, Cause: fmt.Sprintf("the endpoint took %d requests and has not all of the batch", maxRounds)}
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
			r.refuse(metric.Place{Series: series, Time: tick}, outside(b, old))
		}
	}
}

func outside(b backend.Backend, old bool) string {
	if old {
		return fmt.Sprintf("older than %s: %s would drop it without a word", b.Limits.MaxAge, b.Name)
	}
	return fmt.Sprintf("more than %s in the future: %s would drop it without a word", b.Limits.MaxAhead, b.Name)
}

// refuse takes out a point that is refused for good.
func (r *rest) refuse(at metric.Place, reason string) {
	if value := r.at(at); value != nil && !value.IsNull() {
		*value = metric.Value{}
		r.points--
		r.rejected.Points++
		r.rejected.Places = append(r.rejected.Places, at)
		if r.rejected.Reason == "" {
			r.rejected.Reason = reason
		}
	}
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
	for _, at := range o.RejectedPlaces {
		r.refuse(at, o.Cause)
	}
	for _, series := range o.RejectedSeries {
		for tick := range r.batch.Times {
			r.refuse(metric.Place{Series: series, Time: tick}, o.Cause)
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
func (r *rest) keep(again []metric.Place, o Outcome) bool {
	r.reject(o)
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

// outcome adds what was refused since the batch was read.
func (r *rest) outcome(o Outcome) Outcome {
	o.Cause = r.rejected.Reason
	o.RejectedPoints, o.RejectedPlaces = r.rejected.Points, r.rejected.Places
	return o
}
