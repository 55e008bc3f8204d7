package demo

import "syscall"

// processAttributes returns attributes that put a child in a process group of
// its own, and kill it if the demo is killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
