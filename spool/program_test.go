package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
)

// contents are those of a spool's files.
type contents struct {
	segment, sidecar, ledger []byte
}

// imageID names the segment of every image.
var imageID = segmentID{number: 7, salt: 0x5a17c0de}

func (x contents) disk() *ramFS {
	return newRAMFS(map[string][]byte{imageID.name(): x.segment, imageID.sidecar(): x.sidecar, ledgerName: x.ledger})
}

func (x contents) size() int64 { return int64(len(x.segment) + len(x.sidecar) + len(x.ledger)) }

// program builds an image from bytes that it takes for instructions, so that a
// fuzzer gets past the checksums: it can make headers sound whatever they say,
// lie, repeat, nest, cut and flip.
type program struct {
	contents
	in    []byte
	items uint64   // in the records so far
	seq   uint64   // of the last record
	offs  []uint32 // where headers start
	led   ledger
}

// maxImage bounds the files, but for one instruction's worth.
const maxImage = 16 << 10

func runProgram(in []byte) contents {
	p := program{in: in, led: ledger{losses: map[string]int64{}}}
	for len(p.in) > 0 && len(p.segment) < maxImage && len(p.sidecar) < maxImage {
		p.step()
	}
	return p.contents
}

// byte takes the next byte; after the last there are zeros.
func (p *program) byte() byte {
	if len(p.in) == 0 {
		return 0
	}
	b := p.in[0]
	p.in = p.in[1:]
	return b
}

// choose takes a byte that chooses.
func choose[T any](p *program, from ...T) T { return from[int(p.byte())%len(from)] }

// The instructions. Those that come up most come first; seeds name them.
const (
	insRecord = iota // size, items
	insLie           // a data record: which field, and what it says
	insEnd
	insForeign // version or type, length of its header, of its payload
	insGarbage // kind, length
	insCopy    // from, length: bytes of the image again
	insNest    // a record that carries the image so far
	insMark    // record, fate, note or dead points
	insMarks   // length: garbage in the sidecar
	insFlip    // where
	insCut     // how much
	insLedger  // kind, amount
	instructions
)

func (p *program) step() {
	switch p.byte() % instructions {
	case insRecord:
		p.record(bytes.Repeat([]byte{p.byte()}, int(p.byte())*choose(p, 0, 1, 1, 20)), p.byte())
	case insLie:
		p.lie()
	case insEnd:
		p.put(header{kind: typeEnd, before: p.items}, nil, nil)
	case insForeign:
		p.foreign()
	case insGarbage:
		p.garbage()
	case insCopy:
		if n := len(p.segment); n > 0 {
			from := int(p.byte()) * n / 256
			p.segment = append(p.segment, p.segment[from:min(n, from+int(p.byte())*8)]...)
		}
	case insNest:
		p.record(bytes.Clone(p.segment), p.byte())
	case insMark:
		if n := len(p.offs); n > 0 {
			m := mark{off: p.offs[int(p.byte())%n] + uint32(choose(p, 0, 0, 0, 1)), fate: fate(p.byte() % 8)}
			if m.fate == pending {
				m.note = bytes.Repeat([]byte{p.byte()}, choose(p, 0, 1, 4, 100, 5000))
			} else {
				m.dead = choose[uint32](p, 0, 1, 2, 3, 7, 200, math.MaxUint32)
			}
			p.sidecar = m.append(p.sidecar, imageID.salt)
		}
	case insMarks:
		p.sidecar = append(p.sidecar, bytes.Repeat([]byte{p.byte()}, int(p.byte()))...)
	case insFlip:
		if n := len(p.segment); n > 0 {
			p.segment[(int(p.byte())<<8|int(p.byte()))%n] ^= 1 << (p.byte() % 8)
		}
	case insCut:
		p.segment = p.segment[:max(0, len(p.segment)-int(p.byte()))]
	case insLedger:
		p.account()
	}
}

// record appends a record as the spool does.
func (p *program) record(payload []byte, items byte) {
	p.seq++
	p.put(header{
		kind: typeData, payloadLen: uint32(len(payload)), ID: named(7, p.seq), items: uint32(items),
		before: p.items, timeMS: int64(p.seq), payloadCRC: crc32.Checksum(payload, castagnoli),
	}, payload, nil)
	p.items += uint64(items)
}

// put appends a header and a payload. Change changes the header before its CRC
// is made, and its length.
func (p *program) put(h header, payload []byte, change func(b []byte) []byte) {
	p.offs = append(p.offs, uint32(len(p.segment)))
	b := make([]byte, headerBytes, maxHeaderBytes+headerBytes)
	h.salt = imageID.salt
	h.encode(b)
	if change != nil {
		b = change(b)
		reseal(b)
	}
	p.segment = append(append(p.segment, b...), payload...)
}

// reseal makes a header's CRC right, as long as it is that of the format.
func reseal(b []byte) {
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], castagnoli))
}

// lies are the fields that lie chooses from.
const lies = 9

// lie appends a sound data record with one field that is unlikely.
func (p *program) lie() {
	p.seq++
	payload := make([]byte, p.byte())
	h := header{
		kind: typeData, payloadLen: uint32(len(payload)), ID: named(7, p.seq), items: 1, before: p.items,
		payloadCRC: crc32.Checksum(payload, castagnoli),
	}
	odd := choose[uint64](p, 0, 1, 100, 1<<16, math.MaxUint32, 1<<63, math.MaxUint64)
	salt := imageID.salt
	switch p.byte() % lies {
	case 0:
		h.before = odd
	case 1:
		h.before += odd
		p.items = h.before + 1
	case 2:
		h.items = uint32(odd)
		p.items += uint64(h.items)
	case 3:
		h.payloadLen = uint32(odd)
	case 4:
		h.payloadCRC = uint32(odd)
	case 5:
		h.Seq = odd
	case 6:
		h.timeMS = int64(odd)
	case 7:
		h.kind = byte(odd)
	case 8:
		salt = uint32(odd)
	}
	p.put(h, payload, func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[offSalt:], salt)
		return b
	})
}

// foreign appends a header of another version, type or length.
func (p *program) foreign() {
	payload := make([]byte, p.byte())
	p.put(header{kind: choose[byte](p, typeData, typeEnd, 0, 9), before: p.items, items: 1, payloadLen: uint32(len(payload))},
		payload, func(b []byte) []byte {
			b[offVersion] = choose[byte](p, formatVersion, formatVersion+1, 255)
			n := choose(p, headerBytes, headerBytes+1, 80, maxHeaderBytes, maxHeaderBytes+1)
			binary.LittleEndian.PutUint16(b[offHeaderLen:], uint16(n))
			return b[:n]
		})
}

// garbage appends bytes that are no record, or nearly one.
func (p *program) garbage() {
	claim := make([]byte, headerBytes/4)
	copy(claim, magic[:])
	binary.LittleEndian.PutUint16(claim[offHeaderLen:], choose[uint16](p, headerBytes, maxHeaderBytes, math.MaxUint16))
	binary.LittleEndian.PutUint32(claim[offSalt:], imageID.salt)
	what := choose(p, []byte{0}, magic[:], magic[:3], claim, p.in[:min(len(p.in), 64)])
	p.segment = append(p.segment, bytes.Repeat(what, int(p.byte()))...)
}

// account writes the ledger anew, with one more fact.
func (p *program) account() {
	switch n := int64(p.byte()); p.byte() % 7 {
	case 0:
		p.led.totals.appended += n
		p.led.totals.delivered += n
	case 1:
		p.led.totals.appended += n
		p.led.totals.evicted += n
	case 2:
		p.led.losses[string(bytes.Repeat([]byte{'x'}, int(n)%maxReason))] += n
	case 3:
		p.led.retired = append(p.led.retired, segmentID{number: uint64(n), salt: imageID.salt})
		p.led.retired = p.led.retired[:min(len(p.led.retired), maxRetired)]
	case 4:
		p.led.generation += uint64(n)
	case 5:
		p.led.direct += n
		p.led.lettersLost += n
	case 6:
		if len(p.ledger) > 0 {
			p.ledger[int(n)*len(p.ledger)/256] ^= p.byte()
		}
		return
	}
	p.led.generation++
	if len(p.ledger) == 0 {
		p.ledger = make([]byte, 2*slotBytes)
	}
	p.led.encode(p.ledger[int64(p.led.generation%2)*slotBytes:][:slotBytes])
}
