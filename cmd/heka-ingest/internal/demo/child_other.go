//go:build !linux

package demo

import "syscall"

// processAttributes returns attributes that put a child in a process group of
// its own.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
