package collect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/promtext"
)

// textfile is what is known of one file.
type textfile struct {
	modified time.Time
	size     int64
	inode    uint64
	read     bool // samples and wrong are of the file as it is
	samples  []promtext.Sample
	wrong    error // why it is left out, as it is
	stale    bool
}

// unreadable is an error that may pass while the file stays as it is.
type unreadable struct{ error }

var errTimed = errors.New("has time stamps: a value is stamped when it is read")

// refresh reads the file if it changed. changed says that its samples may be
// others than before; the error, why there are none.
func (f *textfile) refresh(path string, maxAge time.Duration) (changed bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		changed = f.samples != nil
		*f = textfile{}
		return changed, withoutPath(err)
	}
	var inode uint64
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = st.Ino
	}
	if !f.read || !f.modified.Equal(info.ModTime()) || f.size != info.Size() || f.inode != inode {
		*f = textfile{modified: info.ModTime(), size: info.Size(), inode: inode, read: true}
		f.samples, f.wrong = readTextfile(path)
		_, again := errors.AsType[*unreadable](f.wrong)
		f.read, changed = !again, true
	}
	age := time.Since(f.modified)
	if stale := maxAge > 0 && age > maxAge; stale != f.stale {
		f.stale, changed = stale, true
	}
	if f.wrong == nil && f.stale {
		return changed, fmt.Errorf("was last written at %s, longer ago than HEKA_TEXTFILE_MAX_AGE", f.modified.UTC().Format(time.RFC3339))
	}
	return changed, f.wrong
}

// current are the samples to send.
func (f *textfile) current() []promtext.Sample {
	if f.stale {
		return nil
	}
	return f.samples
}

func readTextfile(path string) ([]promtext.Sample, error) {
	text, err := readRegular(path)
	if err != nil {
		return nil, &unreadable{withoutPath(err)}
	}
	samples, err := promtext.Parse(text)
	if err != nil {
		return nil, err
	}
	kept := samples[:0]
	for _, s := range samples {
		if s.Timed {
			return nil, errTimed
		}
		if !fits(&s) {
			return nil, fmt.Errorf("%.64s has more than %d labels, or a name over %d or a value over %d bytes", s.Name, maxLabels, maxLabelBytes, maxValueBytes)
		}
		// Labels in another order are the same series.
		slices.SortFunc(s.Labels, func(a, b promtext.Label) int { return cmp.Compare(a.Name, b.Name) })
		// A summary of nothing has quantiles that are no number.
		if !math.IsNaN(s.Value) && !math.IsInf(s.Value, 0) {
			kept = append(kept, s)
		}
	}
	return kept, nil
}

// What a server may be expected to take (docs/wire.md).
const (
	maxLabels     = 64
	maxLabelBytes = 255 // and of a metric's name
	maxValueBytes = 4096
)

func fits(s *promtext.Sample) bool {
	return len(s.Name) <= maxLabelBytes && len(s.Labels) <= maxLabels && !slices.ContainsFunc(s.Labels, func(l promtext.Label) bool {
		return len(l.Name) > maxLabelBytes || len(l.Value) > maxValueBytes
	})
}

// readRegular reads a whole file, and never waits for the writer of a pipe.
func readRegular(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", errors.New("is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTextfileBytes+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxTextfileBytes:
		return "", fmt.Errorf("is larger than %d bytes", maxTextfileBytes)
	}
	return string(text), nil
}
