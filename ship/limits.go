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
// is known. When nothing at all is accepted it is not, but for a limit that the
// sender knows by itself.
func (s *Shipper) forbids(now time.Time, bytes int) bool {
	return s.known.forbids(now, bytes) || !s.inDoubt() && s.limit.forbids(now, bytes)
}

// tooLarge notes a body that was.
func (s *Shipper) tooLarge(now time.Time, o Outcome) {
	plain, _ := Decompress(s.sent.Body)
	s.limit.learn(now, len(s.sent.Body), len(plain))
	if o.Unsent {
		s.known.learn(now, len(s.sent.Body), len(plain))
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
func (s *Shipper) unsupported(now time.Time, h *held, o Outcome) {
	next, ok := weaker(s.sent.Compression, s.cfg.Compression)
	if s.recompress(next) != nil || !ok {
		s.strongest = "" // what the spool holds is sent as it is
		o.Verdict = Pause
		s.failed(now, h, o)
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
func (s *Shipper) wire(id ID, items int64, body []byte) Payload {
	p := Payload{ID: id.String(), Points: items, Body: body, Compression: CompressionOf(body)}
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
