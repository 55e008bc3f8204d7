package collect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/promtext"
)

// textfile is the state of one file.
type textfile struct {
	modified time.Time
	size     int64
	inode    uint64
	read     bool // samples and wrong describe the current file
	samples  []promtext.Sample
	wrong    error // why the file is left out
	had      int   // the room for samples when it was read
	stale    bool
}

// unreadable is an error that may pass while the file stays unchanged.
type unreadable struct{ error }

var errTimed = errors.New("has time stamps: a value is stamped when it is read")

// room is what the remaining files may hold.
type room struct {
	samples int
	bytes   int64
}

var (
	errNoBytes   = fmt.Errorf("is left out: with the files before it, it is over the %d MiB of all together", maxTextfilesBytes>>20)
	errNoSamples = errors.New("is left out: with the files before it, it has more samples than HEKA_MAX_SERIES")
)

// refresh reads the file if it changed, and deducts its share from the room.
// changed reports whether its samples may have changed; the error says why
// there are none.
func (f *textfile) refresh(path string, maxAge time.Duration, left *room) (changed bool, err error) {
	had := len(f.samples) > 0
	info, err := os.Stat(path)
	if err != nil {
		*f = textfile{}
		return had, withoutPath(err)
	}
	now := textfile{modified: info.ModTime(), size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		now.inode = st.Ino
	}
	same := f.read && f.modified.Equal(now.modified) && f.size == now.size && f.inode == now.inode
	switch {
	case now.size > left.bytes:
		*f = now
		f.wrong = errNoBytes
		return had, f.wrong
	case !same, len(f.samples) > left.samples, errors.Is(f.wrong, errNoSamples) && left.samples > f.had:
		*f = now
		f.had = left.samples
		f.samples, f.wrong = readTextfile(path, left.samples)
		_, again := errors.AsType[*unreadable](f.wrong)
		f.read, changed = !again, had || len(f.samples) > 0
	}
	if f.wrong == nil {
		left.samples -= len(f.samples)
		left.bytes -= f.size
	}
	age := time.Since(f.modified)
	if stale := maxAge > 0 && age > maxAge; stale != f.stale {
		f.stale, changed = stale, changed || len(f.samples) > 0
	}
	if f.wrong == nil && f.stale {
		return changed, fmt.Errorf("was last written at %s, longer ago than HEKA_TEXTFILE_MAX_AGE", f.modified.UTC().Format(time.RFC3339))
	}
	return changed, f.wrong
}

// current returns the samples to send.
func (f *textfile) current() []promtext.Sample {
	if f.stale {
		return nil
	}
	return f.samples
}

// readTextfile returns the samples of a file. They do not share the memory of
// the text, the rest of which may be much larger.
func readTextfile(path string, most int) ([]promtext.Sample, error) {
	text, err := readRegular(path)
	if err != nil {
		return nil, &unreadable{withoutPath(err)}
	}
	samples, err := promtext.Parse(text, most)
	if errors.Is(err, promtext.ErrTooMany) {
		return nil, errNoSamples
	}
	if err != nil {
		return nil, err
	}
	kept := make([]promtext.Sample, 0, len(samples))
	help := "" // shared by the lines of a metric
	for _, s := range samples {
		if s.Timed {
			return nil, errTimed
		}
		if !fits(&s) {
			return nil, fmt.Errorf("%.64s has more than %d labels, or a name over %d or a value over %d bytes", s.Name, maxLabels, maxLabelBytes, maxValueBytes)
		}
		// Labels in another order identify the same series.
		slices.SortFunc(s.Labels, func(a, b promtext.Label) int { return cmp.Compare(a.Name, b.Name) })
		// A summary without observations has quantiles that are NaN.
		if !math.IsNaN(s.Value) && !math.IsInf(s.Value, 0) {
			if s.Help != help {
				help = strings.Clone(s.Help)
			}
			s.Help = help
			kept = append(kept, owned(s))
		}
	}
	return kept, nil
}

// owned copies a sample so that its name and labels share no memory with the
// text.
func owned(s promtext.Sample) promtext.Sample {
	s.Name = strings.Clone(s.Name)
	s.Labels = slices.Clone(s.Labels)
	for i, l := range s.Labels {
		s.Labels[i] = promtext.Label{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)}
	}
	return s
}

// Limits that a server may be expected to accept (docs/wire.md).
const (
	maxLabels     = 64
	maxLabelBytes = 255 // also of a metric's name
	maxValueBytes = 4096
)

func fits(s *promtext.Sample) bool {
	return len(s.Name) <= maxLabelBytes && len(s.Labels) <= maxLabels && !slices.ContainsFunc(s.Labels, func(l promtext.Label) bool {
		return len(l.Name) > maxLabelBytes || len(l.Value) > maxValueBytes
	})
}

// readRegular reads a whole regular file. It never waits for the writer of a
// pipe.
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
