package ship

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// refusalSpool is a spool in memory.
type refusalSpool struct {
	entries []Entry
	dead    int64
	letters [][]byte
}

func (s *refusalSpool) Append(e Entry) error {
	s.entries = append(s.entries, e)
	return nil
}

func (s *refusalSpool) Oldest(sinceMS int64, except []ID) (Entry, bool) {
	for _, e := range s.entries {
		if e.TimeMS >= sinceMS && !slices.Contains(except, e.ID) {
			return e, true
		}
	}
	return Entry{}, false
}

func (s *refusalSpool) at(id ID) int {
	return slices.IndexFunc(s.entries, func(e Entry) bool { return e.ID == id })
}

func (s *refusalSpool) Ack(id ID, dead int64) bool {
	i := s.at(id)
	if i < 0 {
		return false
	}
	s.entries = slices.Delete(s.entries, i, i+1)
	s.dead += dead
	return true
}

func (s *refusalSpool) Note(id ID, note []byte) bool {
	i := s.at(id)
	if i < 0 {
		return false
	}
	s.entries[i].Note = note
	return true
}

func (s *refusalSpool) Refuse(points int64)  { s.dead += points }
func (s *refusalSpool) SetAside(l Letter)    { s.letters = append(s.letters, l.Payload) }
func (s *refusalSpool) Pending() int64       { return int64(len(s.entries)) }
func (s *refusalSpool) MakeRoom() error      { return nil }
func (*refusalSpool) Draft(Entry, int) error { return nil }
func (*refusalSpool) Discard() error         { return nil }

// refusalCodec makes small bodies of the fleet's series, which are known by
// number, without values.
type refusalCodec struct {
	series []*metric.Series
	number map[*metric.Series]byte
}

// refusalBody is a body as it was sent: present has a bit a tick for each series.
type refusalBody struct {
	epoch, seq uint64
	part       string
	times      []int64
	series     []byte
	present    []uint16
}

func newRefusalCodec(points []metric.Point) *refusalCodec {
	c := &refusalCodec{number: make(map[*metric.Series]byte)}
	for i, p := range points {
		c.series = append(c.series, p.Series)
		c.number[p.Series] = byte(i)
	}
	return c
}

func (c *refusalCodec) Append(dst []byte, b *metric.Batch) []byte {
	dst = append(dst, fleetBody...)
	dst = binary.LittleEndian.AppendUint64(dst, b.Agent.Epoch)
	dst = binary.LittleEndian.AppendUint64(dst, b.Agent.Seq)
	dst = append(append(dst, byte(len(b.Part))), b.Part...)
	dst = append(dst, byte(len(b.Times)))
	for _, ms := range b.Times {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(ms))
	}
	for _, column := range b.Series {
		present := uint16(0)
		for tick, v := range column.Values {
			if !v.IsNull() {
				present |= 1 << tick
			}
		}
		dst = binary.LittleEndian.AppendUint16(append(dst, c.number[column.Series]), present)
	}
	return dst
}

func (c *refusalCodec) read(body []byte) (b refusalBody) {
	body = body[len(fleetBody):]
	b.epoch, b.seq = binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:])
	body = body[16:]
	b.part, body = string(body[1:1+body[0]]), body[1+body[0]:]
	ticks := int(body[0])
	for body = body[1:]; len(b.times) < ticks; body = body[8:] {
		b.times = append(b.times, int64(binary.LittleEndian.Uint64(body)))
	}
	for ; len(body) > 0; body = body[3:] {
		b.series, b.present = append(b.series, body[0]), append(b.present, binary.LittleEndian.Uint16(body[1:]))
	}
	return b
}

func (c *refusalCodec) Decode(body []byte) (*metric.Batch, error) {
	if len(body) == 0 {
		return nil, errors.New("no body")
	}
	r := c.read(body)
	b := &metric.Batch{Agent: metric.Agent{Epoch: r.epoch, Seq: r.seq}, Part: r.part, Times: r.times}
	for at, i := range r.series {
		values := make([]metric.Value, len(r.times))
		for tick := range values {
			if r.present[at]>>tick&1 != 0 {
				values[tick] = metric.Int(1)
			}
		}
		b.Series = append(b.Series, metric.Column{Series: c.series[i], Values: values})
	}
	return b, nil
}
