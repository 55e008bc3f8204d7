package spool

import "syscall"

const errNoSpace = syscall.ENOSPC
