//go:build !linux

package spool

import (
	"math"
	"os"
)

const openInPlace = 0

// mine takes every file for this process's user's: here it is up to the operator.
func mine(os.FileInfo) bool { return true }

// openLock is an open file and no lock: here it is up to the operator that
// two agents do not share a directory.
type openLock struct{ *os.File }

func (openLock) Held() bool { return true }

func lockFile(path string) (lock, error) {
	f, err := openRegular(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	tighten(f)
	return openLock{f}, nil
}

// syncDir does nothing: not every system can open a directory to sync it.
func syncDir(string) error { return nil }

// freeBytes knows no limit here, so that the free-space guard never acts.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }

// diskUsage does not know here.
func diskUsage(os.FileInfo) int64 { return 0 }
