package collect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// The limits of a directory of text files. What exceeds them is left out and
// reported.
const (
	maxTextfiles      = 1000
	maxTextfileBytes  = 1 << 20
	maxTextfilesBytes = 8 << 20 // of all files
	textfileSuffix    = ".prom"
)

var textfileMtime = metric.Desc{
	Name: "heka.agent.textfile.mtime", Unit: "s", Kind: metric.Gauge, Labels: []string{"file"},
	Help: "When the file was last written, in Unix time; of those that are left out, too.", Source: "HEKA_TEXTFILE_DIR/*.prom",
}

func textfileDescs() []*metric.Desc { return []*metric.Desc{&textfileMtime} }

// textfileCollector sends the contents of the *.prom files of a directory. It
// follows the convention of node_exporter's textfile collector, so that scripts
// work with both. A file is sent completely or not at all, and its mistakes do
// not affect other files. A file is read again if its size, modification time
// or inode changes.
type textfileCollector struct {
	dir        string
	maxAge     time.Duration
	maxSamples int // of all files together; 0 for no limit
	files      map[string]*textfile
	merged     merger
}

func newTextfile(cfg Config) Collector {
	return &textfileCollector{
		dir: cfg.TextfileDir, maxAge: cfg.TextfileMaxAge, maxSamples: cfg.MaxSeries,
		files: make(map[string]*textfile),
	}
}

// Name implements Collector.
func (*textfileCollector) Name() string { return "textfile" }

// Collect adds the points of all files in the order of their names. If two
// files have the same series, the first file wins. A file that is removed
// meanwhile is not an error.
func (c *textfileCollector) Collect(_ context.Context, s *metric.Snapshot) error {
	if c.dir == "" {
		return nil
	}
	names, err := c.list()
	if err != nil {
		return fmt.Errorf("read %s: %w", c.dir, err)
	}
	var errs []error
	if over := len(names) - maxTextfiles; over > 0 {
		errs = append(errs, fmt.Errorf("read %s: %d files over the limit of %d are left out", c.dir, over, maxTextfiles))
		names = names[:maxTextfiles]
	}
	changed := c.forget(names)
	left := room{samples: c.maxSamples, bytes: maxTextfilesBytes}
	if left.samples == 0 {
		left.samples = math.MaxInt
	}
	for _, name := range names {
		f := c.files[name]
		if f == nil {
			f = &textfile{}
			c.files[name] = f
		}
		path := filepath.Join(c.dir, name)
		news, err := f.refresh(path, c.maxAge, &left)
		changed = changed || news
		if err != nil && !isGone(path, err) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		if !f.modified.IsZero() {
			s.Float(&textfileMtime, float64(f.modified.UnixMilli())/1000, metric.L("file", name))
		}
	}
	if changed {
		c.merged.merge(names, c.files)
	}
	c.merged.emit(s)
	return errors.Join(append(errs, c.merged.conflicts...)...)
}

// isGone reports whether err means that the file was removed. A symbolic link
// whose target does not exist is not gone.
func isGone(path string, err error) bool {
	if !errors.Is(err, os.ErrNotExist) {
		return false
	}
	_, err = os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}

// list returns the names of the files, sorted.
func (c *textfileCollector) list() ([]string, error) {
	d, err := os.Open(c.dir)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer d.Close()
	all, err := d.Readdirnames(-1)
	if err != nil {
		return nil, withoutPath(err)
	}
	names := slices.DeleteFunc(all, func(name string) bool { return !strings.HasSuffix(name, textfileSuffix) })
	slices.Sort(names)
	return names, nil
}

// forget removes the files that no longer exist, and reports whether there were
// any.
func (c *textfileCollector) forget(names []string) (gone bool) {
	for name := range c.files {
		if _, there := slices.BinarySearch(names, name); !there {
			delete(c.files, name)
			gone = true
		}
	}
	return gone
}

// withoutPath returns the cause of err without the path, because the caller
// adds the file's name.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
