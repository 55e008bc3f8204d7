package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A log file is renamed to NAME.1 when the next line would take it over
// logMaxBytes, NAME.1 to NAME.2, and so on; logKept old ones stay.
const (
	logMaxBytes = 10 << 20
	logKept     = 4
)

var (
	errLink       = errors.New("is a symbolic link")
	errDirectory  = errors.New("is a directory")
	errSecondName = errors.New("has another name too, in a directory that others may write to")
)

// LogFile is HEKA_LOG_FILE, which rotates by itself. It is safe for concurrent
// use. A nil *LogFile is stderr's, for which there is nothing to do.
type LogFile struct {
	name string
	// fixed says that the name is a stream of the process or a device.
	fixed bool

	mu   sync.Mutex
	file *os.File // guarded by mu, like all below
	size int64
	most int64 // the size at which to rotate next
}

// openLogFile opens a file for appending, and makes it with mode 0640 if it is
// missing.
func openLogFile(name string) (*LogFile, error) {
	l := &LogFile{name: name, fixed: isStream(name), most: logMaxBytes}
	return l, l.open()
}

// isStream reports whether a name such as /dev/stderr or /proc/1/fd/1 stands for
// an open file: these are links, which nobody but the system can make there.
func isStream(name string) bool {
	dir := filepath.Dir(name)
	return dir == "/dev" || dir == "/dev/fd" || strings.HasPrefix(dir, "/proc/") && filepath.Base(dir) == "fd"
}

// open replaces the open file by the one of that name now; on an error it stays.
// A link there is not followed: it could lead to any file that the agent may
// write, and another user may have put it there.
func (l *LogFile) open() error {
	flags := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if !l.fixed {
		flags |= openNoFollow
		if err := checkLogName(l.name); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(l.name, flags, 0o640)
	if err != nil {
		return withoutPath(err)
	}
	info, err := file.Stat()
	if err == nil && !l.fixed && hardLinkedByOthers(info, filepath.Dir(l.name)) {
		err = errSecondName
	}
	if err != nil {
		_ = file.Close()
		return withoutPath(err)
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file, l.size, l.most = file, info.Size(), logMaxBytes
	return nil
}

// checkLogName says in plain words what opening the file would refuse.
func checkLogName(name string) error {
	info, err := os.Lstat(name)
	switch {
	case err != nil || isStream(name):
		return nil // it is made, or opening it says what is wrong
	case info.Mode()&fs.ModeSymlink != 0:
		return errLink
	case info.IsDir():
		return errDirectory
	}
	return nil
}

// Write appends one line, after rotating the file if that is due. A file that
// cannot be rotated goes on growing, and is tried again after as many bytes.
func (l *LogFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fixed && l.size > 0 && l.size+int64(len(line)) > l.most && l.rotate() != nil {
		l.most = l.size + logMaxBytes
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

// rotate moves the files on, unless another process has done so; mu is held.
func (l *LogFile) rotate() error {
	mine, err := l.file.Stat()
	if err != nil || !mine.Mode().IsRegular() {
		return errors.Join(err, errors.New("not a regular file"))
	}
	if mine.Size() < l.size { // somebody has cut it
		l.size = mine.Size()
		return nil
	}
	there, err := os.Lstat(l.name)
	if err == nil && os.SameFile(mine, there) {
		for n := logKept; n > 0 && err == nil; n-- {
			from := l.name
			if n > 1 {
				from = fmt.Sprintf("%s.%d", l.name, n-1)
			}
			err = os.Rename(from, fmt.Sprintf("%s.%d", l.name, n))
			if n > 1 && errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.open()
}

// Reopen opens the file of that name again: somebody has moved the one that is
// open. On an error that one stays in use.
func (l *LogFile) Reopen() error {
	if l == nil || l.fixed {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open()
}

// Close closes the file.
func (l *LogFile) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
