package spool

import (
	"fmt"
	"os"
	"path/filepath"
)

// homeName is the folder that a spool makes for itself in a directory that
// others own or may write to, such as a volume that containers share: whoever
// may write there could lay links and segments of their own in its way.
const homeName = "heka-insights-agent"

// Locate returns where the spool of a directory is: the directory itself, or the
// folder in it that its agent has made there. It changes nothing, and may be
// asked by any user: where both are there, since agents of two users were tried,
// it is the one that is in use, or else the one of this process's user.
func Locate(dir string) string {
	at := filepath.Join(dir, homeName)
	outer, err := os.Stat(dir)
	inner, innerErr := os.Lstat(at)
	if err != nil || innerErr != nil || !inner.IsDir() {
		return dir
	}
	if outer.Mode().Perm()&othersWrite != 0 {
		return at
	}
	lock, err := os.Lstat(filepath.Join(dir, lockName))
	if err != nil || !lock.Mode().IsRegular() {
		return at // no agent has been here
	}
	used := lockHeld(filepath.Join(dir, lockName)) == ownerLives
	usedInside := lockHeld(filepath.Join(at, lockName)) == ownerLives
	if used == usedInside && mine(inner) && !mine(outer) || usedInside && !used {
		return at
	}
	return dir
}

// othersWrite are the permissions that let others than the owner write.
const othersWrite = 0o022

// homeFS is a directory, or the folder of its own in it: Mkdir(".") finds out,
// the first time that it succeeds, and it stays so. Until then nothing else of it
// is in use.
type homeFS struct {
	osFS
	dir   string
	found bool
}

func newHomeFS(dir string) *homeFS { return &homeFS{osFS: osFS(Locate(dir)), dir: dir} }

func (d *homeFS) Mkdir(name string) error {
	if name != "." {
		return d.osFS.Mkdir(name)
	}
	if err := os.MkdirAll(d.dir, dirMode); err != nil {
		return err
	}
	at, err := makeHome(d.dir)
	switch {
	case err != nil:
		return err
	case !d.found:
		d.osFS, d.found = osFS(at), true
	case osFS(at) != d.osFS:
		return fmt.Errorf("%s is now open to other users, or no longer: start the agent again", d.dir)
	}
	return nil
}

// makeHome returns the directory if nobody else owns it or may write to it, and
// else the folder in it that is this user's alone.
func makeHome(dir string) (string, error) {
	outer, err := os.Stat(dir)
	if err != nil || mine(outer) && outer.Mode().Perm()&othersWrite == 0 {
		return dir, err
	}
	at := filepath.Join(dir, homeName)
	if err := os.Mkdir(at, dirMode); err != nil && !os.IsExist(err) {
		return "", err
	}
	f, err := os.OpenFile(at, os.O_RDONLY|openInPlace, 0)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	inner, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !inner.IsDir():
		return "", fmt.Errorf("%s is no directory: %w", at, os.ErrExist)
	case !mine(inner):
		if keepsOwners(dir) {
			return "", fmt.Errorf("%s belongs to another user: remove it, or set another directory", at)
		}
	case inner.Mode().Perm() != dirMode:
		_ = f.Chmod(dirMode)
	}
	return at, nil
}

// keepsOwners reports whether the file system knows whose a directory is. There
// are some, of Windows and of clouds, on which all is one user's, who need not be
// this process's: nothing can be had there that is more one's own.
func keepsOwners(dir string) bool {
	try, err := os.MkdirTemp(dir, homeName+"-*")
	if err != nil {
		return true
	}
	defer os.Remove(try) //nolint:errcheck // it is empty
	st, err := os.Lstat(try)
	return err != nil || mine(st)
}
