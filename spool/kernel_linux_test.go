package spool_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// nobody owns no file that matters.
	nobody = 65534

	smallDisk = `mkdir disk; mount -t tmpfs -o size=1m none disk`
	fillDisk  = `cat /dev/zero >disk/filler 2>/dev/null || true`

	// A loop device of its own for each mount: one that is still in use would
	// bring the old state of the file system with it. It goes with the mount.
	mountImage = `loop=$(losetup -f --show image); mount -o errors=remount-ro "$loop" disk; losetup -d "$loop"`
	makeImage  = `PATH=$PATH:/usr/sbin:/sbin; mkdir disk; truncate -s 16M image; mkfs.ext4 -q image; ` + mountImage
)

// TestOutages has a running spool live through what real kernels do to a
// directory: it stays alive, counts right, loses nothing that it took, and
// takes records again within a minute after the cause is gone.
func TestOutages(t *testing.T) {
	t.Parallel()
	var cases sync.WaitGroup
	defer cases.Wait()
	for _, o := range []outage{
		{
			name: "no space", dir: "disk/spool", private: true, setup: smallDisk,
			begin: sh(fillDisk), end: sh(`rm disk/filler`), want: "no space left",
		},
		{
			name: "no space, synced", fsync: "always", dir: "disk/spool", private: true, setup: smallDisk,
			begin: sh(fillDisk), end: sh(`rm disk/filler`), want: "no space left",
		},
		{
			name: "no inodes", dir: "disk/spool", private: true,
			setup: `mkdir disk; mount -t tmpfs -o size=16m,nr_inodes=50 none disk`,
			begin: sh(`for i in $(seq 50); do touch disk/$i 2>/dev/null || break; done`),
			end:   sh(`rm -f disk/[0-9]*`), want: "no space left",
		},
		{
			name: "file system turned read-only", dir: "disk/spool", private: true, setup: makeImage,
			begin: sh(`mount -o remount,abort disk || true`), want: "read-only file system",
			end:   sh(`PATH=$PATH:/usr/sbin:/sbin; umount -l disk; e2fsck -p image || test $? = 1; ` + mountImage),
			again: true,
		},
		{
			name: "file size limit", dir: "spool", begin: limit(4 << 10), end: limit(math.MaxInt64), want: "file too large",
		},
		{
			name: "no permission to write", dir: "spool", uid: nobody,
			begin: sh(`chmod 0500 spool`), end: sh(`chmod 0700 spool`), want: "permission denied",
		},
		{
			name: "no permission at all", dir: "spool", uid: nobody,
			begin: sh(`chmod 0 spool`), end: sh(`chmod 0700 spool`), want: "permission denied",
		},
		{
			name: "directory removed", dir: "spool",
			begin: sh(`rm -rf spool`), end: func(*witness) {}, takes: true,
		},
		{
			name: "directory became a file", dir: "spool",
			begin: sh(`rm -rf spool; echo >spool`), end: sh(`rm spool`), want: "not a directory", takes: true,
		},
		{
			name: "unmounted for good", dir: "disk/spool", private: true, setup: smallDisk,
			begin: sh(`umount -l disk`), end: func(*witness) {}, takes: true,
		},
		{
			name: "unmounted for a while", dir: "disk/spool", private: true, setup: makeImage,
			begin: sh(`umount -l disk; echo >disk/spool`), want: "not a directory",
			end: sh(`rm disk/spool; PATH=$PATH:/usr/sbin:/sbin; ` + mountImage), again: true,
		},
		{name: "fsync", dir: "spool", begin: inject("fsync", "EIO"), end: lift, want: "input/output error"},
		{name: "fsync, synced", fsync: "always", dir: "spool", begin: inject("fsync", "EIO"), end: lift, want: "input/output error"},
		{name: "write", dir: "spool", begin: inject("pwrite64", "EIO"), end: lift, want: "input/output error"},
		{name: "quota", dir: "spool", begin: inject("pwrite64", "EDQUOT"), end: lift, want: "quota exceeded"},
		{name: "open", dir: "spool", begin: inject("openat", "EMFILE"), end: lift, want: "too many open files"},
		{name: "unlink", dir: "spool", begin: inject("unlinkat", "EPERM"), end: lift, want: "operation not permitted", drains: true},
		{name: "read", dir: "spool", begin: inject("pread64", "EIO"), end: lift, want: "input/output error", drains: true, held: brief},
	} {
		o.fsync = cmp.Or(o.fsync, "interval")
		o.held = cmp.Or(o.held, held)
		// They wait most of the time: all at once, not two on two processors.
		cases.Go(func() { t.Run(o.name, o.run) })
	}
	cases.Go(func() { t.Run("read-only at the start", readOnlyAtStart) })
	cases.Go(func() { t.Run("file size limit below that of a segment", smallFiles) })
}

// readOnlyAtStart opens a spool on a file system that is mounted read-only. It
// takes records when that is remounted.
func readOnlyAtStart(t *testing.T) {
	o := outage{
		fsync: "interval", dir: "disk/spool", private: true, setup: makeImage + `; mount -o remount,ro disk`,
		want: "read-only file system", held: held,
	}
	w := o.start(t)
	w.refused(o)
	sh(`mount -o remount,rw disk`)(w)
	w.recovers()
	o.reopened(w)
}

// smallFiles has a limit that records fit in, but no segment, refuse nothing and
// leave no files open.
func smallFiles(t *testing.T) {
	o := outage{fsync: "always", dir: "spool"}
	w := o.start(t)
	limit(50_000)(w)
	for range 40 {
		w.mustAppend()
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid))
	must(t, err)
	segments, err := filepath.Glob(filepath.Join(w.root, o.dir, "*.seg"))
	must(t, err)
	if len(segments) != 20 || len(open) > 15 {
		t.Errorf("%d segments and %d open files, want 20 and a few", len(segments), len(open))
	}
	o.reopened(w)
}

// sh runs a script in the test's directory, with the child's mounts and rights.
func sh(script string) func(*witness) {
	return func(w *witness) {
		w.t.Helper()
		w.want(request{Do: "sh", Script: "cd " + w.root + "\n" + script})
	}
}

// limit sets how large a file the child may write.
func limit(bytes uint64) func(*witness) {
	return func(w *witness) {
		w.t.Helper()
		must(w.t, unix.Prlimit(w.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: math.MaxInt64}, nil))
	}
}

// lift ends what inject began.
func lift(w *witness) { w.lift() }

// inject has strace answer one of the child's system calls with an error. A
// machine where strace may not do so skips the test.
func inject(call, errno string) func(*witness) {
	return func(w *witness) {
		w.t.Helper()
		ctx, stop := context.WithCancel(background)
		strace := exec.CommandContext(ctx, "strace", "-f", "-qq", "-o", os.DevNull, "-p", fmt.Sprint(w.cmd.Process.Pid),
			"-e", "trace="+call, "-e", "inject="+call+":error="+errno)
		// Asked in this way it lets go of the child; else the kernel has to.
		strace.Cancel = func() error { return strace.Process.Signal(syscall.SIGTERM) }
		strace.WaitDelay = 10 * time.Second
		var said bytes.Buffer
		strace.Stderr = &said
		if err := strace.Start(); err != nil {
			stop()
			w.t.Skip(err)
		}
		done := make(chan struct{})
		go func() { _ = strace.Wait(); close(done) }()
		w.lift = func() { stop(); <-done }
		w.t.Cleanup(w.lift)
		for !w.traced() {
			select {
			case <-done:
				w.t.Skipf("strace: %s", said.String())
			case <-time.After(poll):
			}
		}
	}
}

// traced says that each thread of the child has a tracer.
func (w *witness) traced() bool {
	w.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.cmd.Process.Pid))
	must(w.t, err)
	for _, name := range threads {
		status, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(status), "\nTracerPid:\t0\n") {
			return false
		}
	}
	return true
}
