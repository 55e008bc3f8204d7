package spool

import (
	"cmp"
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what a spool should hold, kept beside a real one.
type model struct {
	t    *rapid.T
	dir  string
	cfg  Config
	disk *faultFS
	s    *Spool

	seq     uint64
	waiting map[ID]Record // appended, neither acked nor given up
	back    map[ID]Record // acked or refused: a crash may bring them back
	offered map[ID]Record // to Append or SetAside, ever
	// notes are the last ones; after a fault on the disk they may be older.
	notes map[ID]string
	dead  int64 // points told to Ack and Refuse
	// replayed have the time of their replay, or their own where a crash
	// brought them back.
	replayed map[ID]bool
	brought  map[ID]bool // a crash brought them back, with their letters
	mayLack  map[ID]bool // spoiled on disk: may be gone, is never wrong
	lose     int64
	faulted  bool // so that marks in a sidecar may be missing
	// uncounted are points whose loss may not be counted: a header spoiled at
	// the end of a segment that no end record closes.
	uncounted int64
}

// TestModel runs random operations and faults against the model: each record
// that Append took comes back right until it is acked, or is counted as lost;
// the totals add up after every step. By default that is 100 runs of 200 steps
// on average; -rapid.checks and -rapid.steps change it.
func TestModel(t *testing.T) {
	steps := flag.Lookup("rapid.steps").Value
	if steps.String() == flag.Lookup("rapid.steps").DefValue {
		must(t, steps.Set("200"))
	}
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &model{
			t: t, dir: dir, waiting: map[ID]Record{}, back: map[ID]Record{}, offered: map[ID]Record{},
			notes: map[ID]string{}, mayLack: map[ID]bool{}, replayed: map[ID]bool{}, brought: map[ID]bool{},
		}
		m.cfg = Config{
			Dir: dir, MaxBytes: rapid.Int64Range(4<<10, 32<<10).Draw(t, "cap"), MaxAge: time.Hour,
			Fsync: Fsync(rapid.IntRange(0, 2).Draw(t, "fsync")),
		}
		m.open()
		defer func() { _ = m.s.Close(background) }()
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append again": m.append, "drain one": m.drainOne, "ack any": m.ackAny,
			"tick": m.tick, "reopen": m.reopen, "crash": m.crash, "spoil": m.spoil, "fault": m.fault,
			"no fault": m.noFault, "lose": m.loseSome, "expire": m.expire, "make room": m.makeRoom,
			"set aside": m.setAside, "replay": m.replay, "note": m.note, "note again": m.note, "refuse": m.refuse, "": m.check,
		})
	})
}

func (m *model) open() {
	m.disk = &faultFS{osFS: osFS(m.dir)}
	m.s = open(m.cfg, m.disk)
}

func (m *model) append(t *rapid.T) {
	m.seq++
	r := rec(m.seq, rapid.IntRange(0, 3000).Draw(t, "size"))
	// The clock may have been a year ahead or behind.
	year := 365 * 24 * time.Hour
	r.TimeMS = time.Now().Add(rapid.SampledFrom([]time.Duration{0, 0, 0, 0, year, -year}).Draw(t, "clock")).UnixMilli()
	r.Note = drawNote(t)
	m.offered[r.ID], m.notes[r.ID] = r, string(r.Note)
	switch err := m.s.Append(r); {
	case err == nil:
		m.waiting[r.ID] = r
	case errors.Is(err, ErrTooLarge):
		if headerBytes*2+int64(len(r.Payload)) <= m.cfg.MaxBytes*7/8 {
			t.Fatal(err)
		}
	case !errors.Is(err, ErrUnavailable) || m.s.Stats().Cause == nil:
		t.Fatalf("append to a healthy spool: %v", err)
	default:
		m.back[r.ID] = r
	}
}

func (m *model) drainOne(t *rapid.T) {
	r, err := m.s.Oldest(0, nil)
	switch {
	case err == nil:
		want, ok := m.waiting[r.ID]
		if !ok {
			t.Fatalf("record %v came back", r.ID)
		}
		if m.replayed[r.ID] {
			want.TimeMS = r.TimeMS
		}
		if err := sameRecord(r, want); err != nil {
			t.Fatal(err)
		}
		if note := m.notes[r.ID]; !m.faulted && string(r.Note) != note {
			t.Fatalf("record %v has note %x, want %x", r.ID, r.Note, note)
		}
		m.s.Ack(r.ID, 0)
		m.back[r.ID] = want
		delete(m.waiting, r.ID)
	case errors.Is(err, ErrEmpty):
		m.reconcile(t)
	case !errors.Is(err, ErrUnavailable):
		t.Fatal(err)
	}
}

func (m *model) ackAny(t *rapid.T) {
	if id, ok := m.draw(t); ok {
		m.ack(t, id)
		m.back[id] = m.waiting[id]
		delete(m.waiting, id)
	}
}

// each calls do for each entry that waits.
func (m *model) each(do func(seg *segment, i int, id ID)) {
	for _, seg := range m.s.segs {
		for i := range seg.entries {
			if seg.entries[i].fate == pending {
				do(seg, i, seg.entries[i].id())
			}
		}
	}
}

// draw draws a record that waits.
func (m *model) draw(t *rapid.T) (id ID, ok bool) {
	if len(m.waiting) == 0 {
		return id, false
	}
	ids := slices.SortedFunc(maps.Keys(m.waiting), func(a, b ID) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Epoch, b.Epoch)) })
	return rapid.SampledFrom(ids).Draw(t, "id"), true
}

func (m *model) tick(*rapid.T)     { m.s.tick() }
func (m *model) makeRoom(*rapid.T) { _ = m.s.MakeRoom() }

func (m *model) loseSome(t *rapid.T) {
	n := rapid.Int64Range(1, 9).Draw(t, "points")
	m.s.Lose("queue_full", n)
	m.lose += n
}

func (m *model) expire(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "often") == 0 {
		// As if an hour passed.
		m.s.cfg.MaxAge = time.Nanosecond
		time.Sleep(time.Millisecond)
		m.s.tick()
		m.s.cfg.MaxAge = time.Hour
	}
}

// fault breaks one part of the disk until noFault.
func (m *model) fault(t *rapid.T) {
	m.faulted = true
	switch rapid.IntRange(0, 6).Draw(t, "fault") {
	case 0:
		m.disk.limited, m.disk.room = true, rapid.Int64Range(0, 5000).Draw(t, "room")
	case 1:
		m.disk.syncErr = syscall.EIO
	case 2:
		m.disk.dirErr = syscall.EIO
	case 3:
		m.disk.createErr = syscall.EACCES
	case 4:
		m.disk.removeErr = syscall.EPERM
	case 5:
		m.disk.writeErr = syscall.EROFS
	case 6:
		m.cfg.MinFree, m.s.cfg.MinFree, m.disk.free = 1<<20, 1<<20, 1<<20+2000
	}
}

func (m *model) heal() {
	m.disk = &faultFS{osFS: osFS(m.dir)}
	m.s.disk = m.disk
	m.s.mu.Lock()
	for _, seg := range slices.Concat(m.s.segs, m.s.retired) {
		for _, f := range []file{seg.f, seg.acks} {
			if f, ok := f.(*faultFile); ok {
				f.fs = m.disk
			}
		}
	}
	m.s.mu.Unlock()
}

func (m *model) noFault(t *rapid.T) {
	m.heal()
	m.s.retry()
	if st := m.s.Stats(); st.Cause != nil {
		t.Fatalf("still unusable on a sound disk: %v", st.Cause)
	}
}

// reopen closes in order: on a sound disk nothing at all changes.
func (m *model) reopen(t *rapid.T) {
	m.heal()
	before := m.s.Stats()
	if err := m.s.Close(background); err != nil {
		t.Fatal(err)
	}
	m.open()
	if m.lose > 0 {
		if i := slices.IndexFunc(m.s.Losses(), func(l Loss) bool { return l == Loss{"queue_full", m.lose} }); i < 0 {
			t.Fatalf("losses are %v, want queue_full %d", m.s.Losses(), m.lose)
		}
	}
	m.resent(t)
	after := m.s.Stats()
	if len(m.mayLack) == 0 && !m.faulted && (after.Records != before.Records || after.Points != before.Points ||
		after.Appended != before.Appended || after.Delivered != before.Delivered || after.Dead != before.Dead) {
		t.Fatalf("opening again turned\n%+v into\n%+v", before, after)
	}
}

// crash leaves the files as they are, as kill -9 does, on a disk that works.
func (m *model) crash(t *rapid.T) {
	m.noFault(t)
	m.s.mu.Lock()
	lose := m.s.ledgerEdits == m.s.ledgerSaved
	m.s.mu.Unlock()
	if !lose {
		m.s.tick() // the last second of losses is not promised
	}
	m.dead -= m.s.ledger.direct - m.s.saved.direct // nor are these
	m.s.gather = nil
	m.s.slow.Lock()
	_ = m.s.lock.Close()
	m.s.slow.Unlock()
	m.open()
	m.resent(t)
}

// resent takes back what the spool, opened again, will send again, and looks at
// the notes.
func (m *model) resent(t *rapid.T) {
	m.each(func(seg *segment, i int, id ID) {
		if r, ok := m.back[id]; ok {
			m.waiting[id], m.brought[id] = r, true
		}
		if note := string(seg.notes[seg.entries[i].off]); !m.faulted && note != m.notes[id] {
			t.Fatalf("record %v has note %x, want %x", id, note, m.notes[id])
		}
		m.notes[id] = string(seg.notes[seg.entries[i].off])
	})
}

// spoil changes one byte of a record on disk.
func (m *model) spoil(t *rapid.T) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	for _, seg := range m.s.segs {
		for i := range seg.entries {
			e := &seg.entries[i]
			if e.fate != pending || seg.copyOf(i) != nil || m.mayLack[e.id()] || m.disk.createErr != nil || m.disk.writeErr != nil {
				continue
			}
			f, err := m.disk.osFS.Create(seg.name())
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			at := int64(e.off) + rapid.Int64Range(0, int64(e.length)-1).Draw(t, "at")
			var b [1]byte
			_, _ = f.ReadAt(b[:], at)
			b[0] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
			if _, err := f.WriteAt(b[:], at); err != nil {
				t.Fatal(err)
			}
			m.mayLack[e.id()] = true
			if at < int64(e.off)+headerBytes && !seg.ended {
				m.uncounted += int64(e.items)
			}
			return
		}
	}
}

// reconcile drops from the model what the spool says it lost, when it says
// that nothing waits: the points must be exactly those counted.
func (m *model) reconcile(t *rapid.T) {
	for id := range m.waiting {
		if !m.mayLack[id] && m.s.Stats().Evicted+m.s.Stats().Expired == 0 {
			t.Fatalf("record %v is lost, and neither spoiled nor evicted nor expired", id)
		}
	}
	// On a faulty disk the mark may be missing, and a restart brings them back.
	maps.Copy(m.back, m.waiting)
	clear(m.waiting)
}

// check compares the counters with the index and the model.
func (m *model) check(t *rapid.T) {
	st := m.s.Stats()
	if err := balance(st); err != nil {
		t.Fatal(err)
	}
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	var records, points, used, owed int64
	for _, seg := range m.s.segs {
		used += seg.size + seg.acksSize
		for i := range seg.entries {
			e := &seg.entries[i]
			if e.fate != pending {
				continue
			}
			records++
			points += int64(e.items)
			if r, ok := m.waiting[e.id()]; !ok || r.Items != int64(e.items) {
				t.Fatalf("record %v with %d points is not in the model", e.id(), e.items)
			}
		}
		for _, c := range seg.copies {
			owed += int64(len(c))
		}
	}
	for _, seg := range m.s.retired {
		used += seg.size + seg.acksSize
	}
	if records != st.Records || points != st.Points || used+m.s.dead.bytes+m.s.kept.bytes != st.DiskBytes || owed != m.s.owed {
		t.Fatalf("index has %d records, %d points, %d bytes, owes %d (%d); stats say %+v", records, points, used, owed, m.s.owed, st)
	}
	if st.Dead > m.dead || st.Dead < m.dead && !m.faulted && len(m.brought)+len(m.mayLack) == 0 {
		t.Fatalf("%d points are dead, want %d", st.Dead, m.dead)
	}
	var given int64
	for _, r := range m.waiting {
		given += r.Items
	}
	if lost := st.Evicted + st.Expired + st.Corrupt; given-points > lost+m.uncounted {
		t.Fatalf("%d points are gone, %d are counted", given-points, lost)
	}
}
