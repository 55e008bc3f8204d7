package spool

import (
	"bytes"
	"fmt"
	"slices"
)

// segments looks into every segment, by age.
func (in *inspector) segments(names []string) error {
	names = onlySegments(names)
	void, err := in.voidDrafts(names)
	if err != nil {
		return err
	}
	for i, name := range names {
		if slices.Contains(void, name) {
			continue // the spool removes it
		}
		if err := in.segment(".", name, i >= len(names)-2); err != nil { // a draft and another
			return err
		}
	}
	return in.missing(names)
}

func onlySegments(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isSegment(name) })
}

// missing shows how much was in segments that are not there, unless a live
// spool may have removed them meanwhile, or have begun one that is not among
// names, but in the ledger.
func (in *inspector) missing(names []string) error {
	n := in.chain.missing()
	if n == 0 || in.moved() {
		return nil
	}
	now, err := in.disk.List(".")
	if err == nil && !slices.Equal(onlySegments(now), names) {
		in.sum.Moved = true
		return nil
	}
	in.totals.add(tally{appended: n, corrupt: n}, 1)
	return in.show(Finding{
		Found: FoundGap, Severity: Damage, File: ".", Lost: n, LostKnown: true,
		Problem: "segments are not there, or nothing in them can be read; what is left tells how much they held",
	})
}

// opened is a segment's index as one look made it.
type opened struct {
	*segment
	name  string // relative to the directory
	aside bool   // in quarantine/
	file  *salvage
	gaps  gaps // of the sidecar
	// spans are all but records.
	spans []span
	// open says that the owner may be about to write on.
	open bool
}

// segment looks into one segment of dir and shows what is in it.
func (in *inspector) segment(dir, name string, newest bool) error {
	o := opened{name: inDir(dir, name), aside: dir != "."}
	severity := Damage
	if o.aside {
		severity = Notice
	}
	f, err := in.disk.Open(o.name)
	if err != nil {
		in.chain.uncertain = in.chain.uncertain || !o.aside
		return in.unreadable(o.name, severity, err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	id, _, _ := parseName(name)
	err = in.settled(func() (bool, error) {
		err := in.look(&o, f, id)
		return !newest || !o.ragged(), err
	})
	if err != nil {
		return in.unreadable(o.name, severity, err)
	}
	o.open = newest && in.owner == ownerLives
	if o.aside {
		in.sum.Quarantined++
		in.sum.QuarantinedBytes += o.size
		aside := Finding{Found: FoundSegment, Severity: Notice, File: o.name, Length: o.size, LostKnown: true, Problem: "was set aside because of damage, which is counted"}
		if err := in.show(aside); err != nil {
			return err
		}
	} else {
		in.sum.Segments++
		in.sum.SegmentBytes += o.size
		if slices.Contains(in.ledger.retired, id) {
			return nil // the ledger counts it as gone
		}
		in.chain.add(o.segment)
		if err := in.mark(&o); err != nil {
			return err
		}
	}
	return in.walk(&o)
}

func inDir(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// look builds the index of a segment from what its file holds now.
func (in *inspector) look(o *opened, f file, id segmentID) error {
	around, err := newSalvage(f, in.stop)
	if err != nil {
		return err
	}
	o.file, o.spans = around, nil
	o.segment = &segment{segmentID: id, size: around.size, sealed: true}
	return scan(around, around.size, id.salt, func(sp span) {
		o.take(sp)
		if sp.kind != spanRecord {
			o.spans = append(o.spans, sp)
		}
	})
}

// ragged says that the segment ends in something that is no whole record.
func (o *opened) ragged() bool {
	if n := len(o.spans); n > 0 {
		last := o.spans[n-1]
		return last.off+last.length == o.size && (last.kind == spanHole || last.kind == spanTorn)
	}
	return false
}

// walk shows what is in a segment, by offset.
func (in *inspector) walk(o *opened) error {
	next := 0
	for _, sp := range o.spans {
		for ; next < len(o.entries) && int64(o.entries[next].off) < sp.off; next++ {
			if err := in.record(o, next); err != nil {
				return err
			}
		}
		if err := in.span(o, sp, next); err != nil {
			return err
		}
	}
	for ; next < len(o.entries); next++ {
		if err := in.record(o, next); err != nil {
			return err
		}
	}
	if !o.aside {
		in.totals.add(o.tally, 1)
	}
	return nil
}

// record shows entry i of the index.
func (in *inspector) record(o *opened, i int) error {
	e := &o.entries[i]
	f := Finding{
		Found: FoundRecord, File: o.name, Offset: int64(e.off), Length: int64(e.length),
		Record:       Record{ID: e.id(), Items: int64(e.items), TimeMS: e.timeMS, Note: o.notes[e.off]},
		PayloadBytes: int64(e.length) - headerBytes,
		Dead:         int64(o.dead[e.off]),
		State:        o.state(e),
		Draft:        o.ofTicks && in.owner != ownerNone,
		LostKnown:    true,
	}
	if in.Payloads {
		if err := in.payload(o, i, &f); err != nil {
			return err
		}
	}
	if f.Severity == Damage && e.fate == pending && !o.aside {
		// As the spool will find when it comes to it.
		o.tally.settle(corrupt, f.Lost, 0)
	}
	if o.aside && f.Severity == Damage {
		f.Severity = Notice
	}
	if f.State == StateWaiting {
		in.waits(&f)
	}
	if !o.aside {
		in.sum.Scanned++
	}
	in.after = &Neighbour{e.id(), e.timeMS}
	return in.show(f)
}

func (o *opened) state(e *entry) State {
	switch {
	case o.aside:
		return StateQuarantined
	case e.fate == delivered && e.items > 0 && o.dead[e.off] == e.items:
		return StateDead
	case e.fate == delivered:
		return StateDelivered
	case e.fate == expired:
		return StateExpired
	case e.fate == corrupt:
		return StateCorrupt
	}
	return StateWaiting
}

// payload reads and checks the record that f is about.
func (in *inspector) payload(o *opened, i int, f *Finding) error {
	e := &o.entries[i]
	err := proveRecord(o.file, int64(e.off), int64(e.length), o.salt)
	if err == nil {
		in.buf = slices.Grow(in.buf[:0], int(e.length))[:e.length]
		err = readFull(o.file, in.buf, int64(e.off))
	}
	if err == nil {
		err = e.check(in.buf, o.salt)
	}
	if stop := in.stop(); stop != nil {
		return stop
	}
	if err == nil {
		f.Record.Payload = in.buf[headerBytes:]
		if e.fate == corrupt {
			f.Severity, f.Problem = Notice, "is counted as corrupt, but can be read now"
		}
		return nil
	}
	f.Severity = Damage
	f.Problem = o.file.explain("damaged", f.Offset, f.Length)
	switch e.fate {
	case pending:
		f.Lost = f.Record.Items
		if !o.aside {
			f.State = StateCorrupt
		}
	case corrupt:
		f.Lost = o.tallyOf(i).corrupt
		f.Problem += "; already counted"
	case delivered, expired, evicted, moved:
		f.Problem += "; it was " + f.State.String() + " before, so nothing is lost"
	}
	return nil
}

func (in *inspector) waits(f *Finding) {
	s, at := &in.sum, f.Record.TimeMS
	if s.Records == 0 || at < s.OldestMS {
		s.OldestMS = at
	}
	if s.Records == 0 || at > s.NewestMS {
		s.NewestMS = at
	}
	s.Records++
	s.Points += f.Record.Items
	s.Bytes += f.PayloadBytes
}

// span shows what is no record; next is the entry that follows it.
func (in *inspector) span(o *opened, sp span, next int) error {
	f := Finding{
		File: o.name, Offset: sp.off, Length: sp.length, Severity: Damage,
		Lost: int64(sp.points), LostKnown: sp.counted, After: in.after,
	}
	if next < len(o.entries) {
		e := &o.entries[next]
		f.Before = &Neighbour{e.id(), e.timeMS}
	}
	switch sp.kind {
	case spanRecord, spanEnd:
		return nil
	case spanForeign:
		f.Found, f.Severity, f.LostKnown = FoundForeign, Notice, true
		f.Problem = fmt.Sprintf("is of version %d, type %d: left in place", sp.header.version, sp.header.kind)
		if !o.aside {
			in.sum.Foreign++
		}
	case spanTorn:
		f.Found, f.Problem = FoundTorn, "is cut short"
		f.Record = Record{ID: sp.header.ID, Items: int64(sp.header.items), TimeMS: sp.header.timeMS}
		f.PayloadBytes, f.State = int64(sp.header.payloadLen), StateCorrupt
		if sp.header.kind == typeEnd || sp.points == 0 {
			f.Severity = Notice
		}
	case spanHole:
		f.Found, f.Problem = FoundGap, o.file.explain("no record", sp.off, sp.length)
		if sp.length == 0 {
			f.Problem = "records are missing"
		}
		if err := in.tail(o, sp, &f); err != nil {
			return err
		}
	}
	if o.open && o.ragged() && sp.off+sp.length == o.size {
		// Not even counted: the agent knows what it is doing.
		o.tally.appended -= f.Lost
		o.tally.corrupt -= f.Lost
		f.Severity, f.Lost, f.LostKnown = Notice, 0, true
		f.Problem += "; the running agent may be writing it"
	}
	if o.aside && f.Severity == Damage {
		f.Severity = Notice
	}
	return in.show(f)
}

// tail judges a hole at the end of a segment that no end record closes: a crash
// leaves such, cut short or never written.
func (in *inspector) tail(o *opened, sp span, f *Finding) error {
	if o.ended || sp.off+sp.length < o.size {
		return nil
	}
	blank, err := isBlank(o.file, sp.off, sp.length)
	if err != nil {
		return err
	}
	switch {
	case o.file.fault(sp.off, sp.length) != nil:
	case blank:
		f.Severity, f.LostKnown, f.Problem = Notice, true, "zeros to the end, as a machine that crashes leaves them"
	case sp.length < headerBytes:
		f.Severity, f.LostKnown, f.Problem = Notice, true, "a header cut short, as a crash leaves it"
	}
	return nil
}

// isBlank says whether a stretch of a file is zeros, as a crash leaves them: not
// more than a file is ever long.
func isBlank(f file, off, length int64) (bool, error) {
	if length > maxFileBytes {
		return false, nil
	}
	b := make([]byte, min(length, 32<<10))
	for end := off + length; off < end; off += int64(len(b)) {
		b = b[:min(int64(len(b)), end-off)]
		if err := readFull(f, b, off); err != nil {
			return false, err
		}
		if len(bytes.TrimLeft(b, "\x00")) > 0 {
			return false, nil
		}
	}
	return true, nil
}
