package spool

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// lockHeld asks the kernel's list of locks, since to try the lock would be to
// take it. The inode alone decides: on btrfs and overlayfs the device in that
// list is not the one that stat returns.
func lockHeld(path string) ownership {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ownerNone
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return ownerUnknown
	}
	defer f.Close()
	inode := []byte(strconv.FormatUint(st.Ino, 10))
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// 1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF
		w := bytes.Fields(lines.Bytes())
		if len(w) >= 6 && string(w[1]) == "FLOCK" && bytes.Equal(w[5][bytes.LastIndexByte(w[5], ':')+1:], inode) {
			return ownerLives
		}
	}
	if lines.Err() != nil {
		return ownerUnknown
	}
	return ownerNone
}

// ownedByAnother is an error if the directory is not this process's user's.
func ownedByAnother(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if uid := os.Geteuid(); int(st.Uid) != uid {
		return fmt.Errorf("%s belongs to user id %d, this process is of %d: run it as that user", dir, st.Uid, uid)
	}
	return nil
}
