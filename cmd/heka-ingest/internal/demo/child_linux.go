package demo

import "syscall"

// processAttributes put a child in a process group of its own, and end it with
// the demo, should that be killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
