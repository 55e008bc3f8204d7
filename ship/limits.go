package ship

import "time"

// limitLife is how long a size limit is believed: a server may be set to take
// more.
const limitLife = time.Hour

// sizeLimit remembers the smallest body that the backend called too large. The
// zero value forbids nothing.
type sizeLimit struct {
	bytes, plainBytes int
	until             time.Time
}

// forbids reports whether a body of so many bytes, as sent, would be refused.
func (l *sizeLimit) forbids(now time.Time, bytes int) bool {
	return now.Before(l.until) && bytes >= l.bytes
}

// learn notes a body that was too large: its bytes as sent, and uncompressed.
func (l *sizeLimit) learn(now time.Time, bytes, plainBytes int) {
	if !now.Before(l.until) {
		*l = sizeLimit{bytes: bytes, plainBytes: plainBytes}
	}
	l.bytes, l.plainBytes = min(l.bytes, bytes), min(l.plainBytes, plainBytes)
	l.until = now.Add(limitLife)
}

// disprove forgets a limit that an accepted body was not under.
func (l *sizeLimit) disprove(bytes int) {
	if bytes >= l.bytes {
		*l = sizeLimit{}
	}
}

// forbids reports whether a body would be refused for its size, as far as that
// is known.
func (s *Shipper) forbids(now time.Time, bytes int) bool {
	return s.known.forbids(now, bytes) || s.limit.forbids(now, bytes)
}

// tooLarge notes a body that was too large, and cuts it. A single point that is
// too large is refused like any other.
func (s *Shipper) tooLarge(now time.Time, out *dispatch, o Outcome) {
	if o.Unsent {
		s.machine.until = now.Add(retryFloor)
	} else {
		s.machine.answered(now)
	}
	if out.payload.Points > 1 {
		plain, _ := Decompress(out.payload.Body)
		s.limit.learn(now, len(out.payload.Body), len(plain))
		if o.Unsent {
			s.known.learn(now, len(out.payload.Body), len(plain))
		}
	}
	d := s.deliveryOf(out.held)
	if d == nil || s.doubt.refusedAll || out.purpose != ofBatch {
		s.refusedBody(now, out, o)
		return
	}
	if out.d == nil {
		d.begin(portion{points: d.grid.whole()})
	}
	if d.next(); !d.split() {
		s.refusedBody(now, &dispatch{held: out.held, d: d, points: out.points, payload: out.payload}, o)
		return
	}
	d.reason, out.late = o.Cause, true
	s.say.refused(s.log, now, out.held, o)
}

// pointLimit remembers how many points a backend takes in one body that refuses
// larger ones as if their points were bad.
type pointLimit struct {
	most  int64 // points of the largest half of a refused part that was accepted
	until time.Time
	batch ID // in which that was seen
}

// allows reports whether so many points may be sent in one body.
func (l *pointLimit) allows(now time.Time, points int64) bool {
	return points <= l.most || !now.Before(l.until)
}

// refused notes that a part of a batch was refused whose halves, of so many
// points at most, were accepted. It takes two batches to believe it. It reports
// false if that cannot be for the size: more points were accepted elsewhere.
func (l *pointLimit) refused(now time.Time, batch ID, points, half int64) bool {
	if points <= l.most {
		*l = pointLimit{}
		return false
	}
	if l.batch != batch && l.batch != (ID{}) {
		l.until = now.Add(limitLife)
	}
	l.batch, l.most = batch, max(l.most, half)
	return true
}

// disprove forgets a limit when more was accepted.
func (l *pointLimit) disprove(now time.Time, points int64) {
	if now.Before(l.until) && points > l.most {
		*l = pointLimit{}
	}
}

// ageLimit is what the backend does not take for its age. The zero value is no
// limit.
type ageLimit struct {
	bound time.Duration
	until time.Time
	// sure: several batches beyond it were refused. Else each of them is sent once.
	sure bool
	// order: it takes nothing that is older than the newest it has.
	order bool
}

func (l *ageLimit) rules() bool { return l.order || time.Now().Before(l.until) }

// beyond reports whether a batch is older than the bound.
func (l *ageLimit) beyond(now time.Time, h *held) bool {
	return now.Before(l.until) && now.Sub(time.UnixMilli(h.TimeMS)) >= l.bound
}

// disprove forgets a bound when an older batch was accepted.
func (l *ageLimit) disprove(now time.Time, h *held) {
	if l.beyond(now, h) {
		l.until = time.Time{}
	}
}

// apply gives up the points of a batch that are not worth a request, when what
// was accepted is as new as newestMS.
func (l *ageLimit) apply(now time.Time, h *held, d *delivery, newestMS int64) {
	switch {
	case l.order && h.TimeMS < newestMS:
		d.refused(d.left.clone())
	case l.sure && now.Before(l.until):
		ticks := d.grid.batch.Times
		d.refused(d.grid.where(func(_, tick int) bool { return now.Sub(time.UnixMilli(ticks[tick])) >= l.bound }))
	}
}

// minPlainBytes bounds how small fresh batches are made: no server that means
// to take any allows less.
const minPlainBytes = 8 << 10

// plain is what a fresh batch may take uncompressed: half of what was refused,
// since nobody knows whether the limit is on the one or the other; at most most.
func (l *sizeLimit) plain(now time.Time, most int64) int64 {
	if !now.Before(l.until) {
		return most
	}
	return min(most, max(int64(l.plainBytes/2), minPlainBytes))
}

// weaker is what to try after the backend refused a compression: the next one,
// but no other than none where none is configured. ok is false if there is
// nothing weaker; next is then the configured one.
func weaker(refused, configured Compression) (next Compression, ok bool) {
	switch {
	case refused == CompressionZstd && configured != CompressionNone:
		return CompressionGzip, true
	case refused == CompressionZstd, refused == CompressionGzip:
		return CompressionNone, true
	default:
		return configured, false
	}
}

// unsupported takes a 415: the next weaker compression is tried at once, and
// kept. When even none is refused it was not the compression.
func (s *Shipper) unsupported(now time.Time, out *dispatch, o Outcome) {
	if out.variant != asConfigured {
		s.machine.answered(now)
		s.answerSearch(now, out, false)
		return
	}
	next, ok := weaker(out.payload.Compression, s.cfg.Compression)
	if s.recompress(next) != nil || !ok {
		s.strongest = "" // what the spool holds is sent as it is
		o.Verdict = Pause
		s.failed(now, out, o)
		return
	}
	s.say.weakened(s.log, o, next)
	s.machine.retryNow(now)
}

// recompress changes the compression of what is sent from now on.
func (s *Shipper) recompress(kind Compression) error {
	c, err := newCompressor(kind)
	if err == nil {
		s.compress, s.strongest = c, kind
	}
	return err
}

// wire returns the payload of a body: as it is, but in the compression that
// the backend takes.
func (s *Shipper) wire(id string, items int64, body []byte) Payload {
	p := Payload{ID: id, Points: items, Body: body, Compression: CompressionOf(body)}
	if s.strongest == "" || p.Compression == s.strongest || p.Compression == CompressionNone {
		return p
	}
	if plain, err := Decompress(body); err == nil {
		if again, err := s.compress.compress(plain); err == nil {
			p.Body, p.Compression = again, CompressionOf(again)
		}
	}
	return p
}
