package spool

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCost opens and drains large images, the worst of their kind: both take
// time and memory in proportion to the files, whatever is in them.
func TestCost(t *testing.T) {
	const size = 2 << 20
	fill := func(p *program, step func()) contents {
		for len(p.segment) < size {
			step()
		}
		return p.contents
	}
	claim := func(length uint16) []byte {
		b := make([]byte, 16)
		copy(b, magic[:])
		binary.LittleEndian.PutUint16(b[offHeaderLen:], length)
		binary.LittleEndian.PutUint32(b[offSalt:], imageID.salt)
		return b
	}
	for what, make := range map[string]func(p *program) contents{
		"nothing but headers": func(p *program) contents {
			return fill(p, func() { p.record(nil, 1) })
		},
		"batches": func(p *program) contents {
			return fill(p, func() { p.record(bytes.Repeat([]byte{1}, 5000), 1) })
		},
		"ever larger records": func(p *program) contents {
			return fill(p, func() { p.record(bytes.Repeat([]byte{1}, int(p.seq)*97), 1) })
		},
		"large records, then small": func(p *program) contents {
			return fill(p, func() { p.record(bytes.Repeat([]byte{1}, max(0, 200-int(p.seq))*100), 1) })
		},
		"every second header damaged": func(p *program) contents {
			return fill(p, func() {
				p.record(nil, 1)
				p.segment[len(p.segment)-1] ^= byte(p.seq & 1)
			})
		},
		"nothing but stale records": func(p *program) contents {
			p.record(nil, 9)
			p.record(nil, 9)
			return contents{segment: slices.Concat(p.segment, bytes.Repeat(p.segment[:headerBytes], size/headerBytes))}
		},
		"a count that no record reaches": func(p *program) contents {
			for range 1000 {
				p.record(nil, 1)
			}
			p.items = 1 << 40
			p.record(nil, 1)
			p.items = 1000
			return fill(p, func() { p.record(nil, 1) })
		},
		"magics": func(*program) contents {
			return contents{segment: bytes.Repeat(magic[:], size/len(magic))}
		},
		"longest headers claimed": func(*program) contents {
			return contents{segment: bytes.Repeat(claim(maxHeaderBytes), size/16)}
		},
		"longer headers claimed": func(*program) contents {
			return contents{segment: bytes.Repeat(claim(math.MaxUint16), size/16)}
		},
		"largest payloads claimed": func(p *program) contents {
			return fill(p, func() { p.put(header{kind: typeData, payloadLen: math.MaxUint32}, nil, nil) })
		},
		"noise": func(*program) contents {
			b := bytes.Repeat([]byte{0}, size)
			_, _ = rand.NewChaCha8([32]byte{}).Read(b)
			return contents{segment: b, sidecar: b, ledger: b}
		},
		"acks": func(p *program) contents {
			fill(p, func() { p.record(nil, 1) })
			for _, off := range p.offs[:len(p.offs)-1] {
				p.sidecar = mark{off: off, fate: delivered}.append(p.sidecar, imageID.salt)
			}
			p.sidecar = slices.Concat(p.sidecar, p.sidecar, p.sidecar)
			return p.contents
		},
		"a note on each": func(p *program) contents {
			fill(p, func() { p.record(nil, 2) })
			for i, off := range p.offs {
				p.sidecar = mark{off: off, note: make([]byte, i%50)}.append(p.sidecar, imageID.salt)
			}
			return p.contents
		},
		"long notes on one": func(p *program) contents {
			p.record(nil, 255)
			for n := range 60 {
				p.sidecar = mark{note: bytes.Repeat([]byte{formatVersion}, n*1000)}.append(p.sidecar, imageID.salt)
			}
			return p.contents
		},
		"entries of a sidecar claimed": func(p *program) contents {
			p.record(nil, 255)
			p.sidecar = bytes.Repeat([]byte{0, 0, 0, 0, 1, formatVersion, 0, 16, 3}, size/9)
			return p.contents
		},
	} {
		t.Run(what, func(t *testing.T) { checkImage(t, make(&program{led: ledger{}})) })
	}
}

// TestStraddle finds a record behind damage wherever reads may cut it.
func TestStraddle(t *testing.T) {
	var p program
	p.record([]byte("found"), 3)
	for n := windowBytes - 2*headerBytes; n < windowBytes+headerBytes; n++ {
		x := contents{segment: slices.Concat(make([]byte, n), p.segment)}
		if seg := readRefSegment(x.segment, nil, imageID.salt); len(seg.records) != 1 {
			t.Fatalf("%d records behind %d bytes", len(seg.records), n)
		}
		checkImage(t, x)
	}
}
