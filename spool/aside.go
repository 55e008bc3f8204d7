package spool

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"
)

const (
	deadDir       = "dead"
	quarantineDir = "quarantine"

	// asideShare is the part of MaxBytes that each of the two may take.
	asideShare = 16

	// diskBlock is what a small file takes of a disk.
	diskBlock = 4 << 10

	// settling is how old a directory's time must be for a later change to show:
	// two changes within one tick of its clock have the same time.
	settling = 2 * time.Second
)

// aside is the index of dead/ or of quarantine/: the spool's own files there,
// by name. It changes with slow and mu held; either guards it.
type aside struct {
	dir           string
	files         []asideFile
	bytes, points int64     // of all files
	seen          time.Time // the directory's time when it was listed; zero if that may miss a change
}

// asideFile is one file of it.
type asideFile struct {
	name          string
	bytes, points int64 // points are those of a letter
}

// set replaces the files.
func (a *aside) set(files []asideFile) {
	a.files, a.bytes, a.points = files, 0, 0
	for _, f := range files {
		a.bytes += f.bytes
		a.points += f.points
	}
}

// own lists what the spool put into dead/ or quarantine/: whatever else is there
// is somebody's. One that does not exist is empty.
func (s *Spool) own(dir string) []string {
	names, _ := s.disk.List(dir)
	return slices.DeleteFunc(names, func(name string) bool { return !discardable(dir + "/" + name) })
}

// survey lists the directory again. Only files that it did not know are asked
// for their size. slow is held.
func (s *Spool) survey(a *aside) {
	changed, err := s.disk.Changed(a.dir)
	if err != nil || time.Since(changed) < settling {
		changed = time.Time{}
	}
	var files []asideFile
	known := a.files // by name, as is the list
	for _, name := range s.own(a.dir) {
		for len(known) > 0 && known[0].name < name {
			known = known[1:]
		}
		var f asideFile
		if len(known) > 0 && known[0].name == name {
			f = known[0]
		} else {
			f = s.weigh(a.dir, name)
		}
		files = append(files, f)
	}
	s.mu.Lock()
	defer s.unlock()
	a.set(files)
	a.seen = changed
}

// weigh finds out what a file takes: whole blocks, as the disk counts it.
func (s *Spool) weigh(dir, name string) asideFile {
	bytes, _ := s.disk.Usage(dir + "/" + name)
	id, _ := parseLetterName(name)
	return asideFile{name: name, bytes: max(bytes, diskBlock), points: int64(min(id.points, maxLoss))}
}

// stale says that somebody may have changed the directory. slow is held.
func (s *Spool) stale(a *aside) bool {
	changed, err := s.disk.Changed(a.dir)
	if errors.Is(err, fs.ErrNotExist) && len(a.files) == 0 {
		return false
	}
	return err != nil || a.seen.IsZero() || !changed.Equal(a.seen)
}

// add notes a file that was made. slow is held.
func (s *Spool) add(a *aside, f asideFile) {
	s.mu.Lock()
	defer s.unlock()
	at, _ := slices.BinarySearchFunc(a.files, f, func(a, b asideFile) int { return strings.Compare(a.name, b.name) })
	a.files = slices.Insert(a.files, at, f)
	a.bytes += f.bytes
	a.points += f.points
	a.seen = time.Time{}
}

// room is what segments and sidecars may take; mu is held.
func (s *Spool) room() int64 {
	return s.cfg.MaxBytes - min(s.dead.bytes+s.kept.bytes, 2*(s.cfg.MaxBytes/asideShare))
}

// quarantine moves the file of a segment in which something was damaged out of
// the way, and reports whether it did. What does not fit is not kept: the
// oldest evidence is the nearest to the cause. The directories are still to be
// synced. slow is held.
func (s *Spool) quarantine(seg *segment) bool {
	s.mu.Lock()
	wanted := seg.tally.corrupt > 0 && seg.tally.evicted == 0 && s.cause == nil
	s.mu.Unlock()
	if !wanted || s.kept.bytes+seg.size > s.cfg.MaxBytes/asideShare {
		return false
	}
	if s.disk.Mkdir(quarantineDir) != nil || s.disk.Rename(seg.name(), quarantineDir+"/"+seg.name()) != nil {
		return false
	}
	s.add(&s.kept, s.weigh(quarantineDir, seg.name()))
	return true
}
