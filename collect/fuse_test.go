package collect_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// The names are those of the kernel (linux/fuse.h).
const (
	fuseGetattr = 3
	fuseStatfs  = 17
	fuseInit    = 26
)

// fuseServer serves an empty file system from the descriptor fd. It calls
// answer before it answers a statfs.
func fuseServer(fd int, answer func()) {
	request := make([]byte, 1<<17)
	for {
		n, err := unix.Read(fd, request)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOENT):
			continue
		case err != nil || n < 40:
			return // unmounted
		}
		opcode, unique := binary.LittleEndian.Uint32(request[4:]), binary.LittleEndian.Uint64(request[8:])
		if opcode == fuseStatfs {
			answer()
		}
		body, errno := fuseReply(opcode)
		reply := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
		reply = binary.LittleEndian.AppendUint32(reply, uint32(-errno))
		reply = binary.LittleEndian.AppendUint64(reply, unique)
		if _, err := unix.Write(fd, append(reply, body...)); err != nil && !errors.Is(err, unix.ENOENT) {
			return
		}
	}
}

// fuseReply returns the answer to a request, or its error.
func fuseReply(opcode uint32) (body []byte, errno int32) {
	le := binary.LittleEndian
	switch opcode {
	case fuseInit: // version 7.31, with the smallest values elsewhere
		body = make([]byte, 64)
		le.PutUint32(body, 7)
		le.PutUint32(body[4:], 31)
		le.PutUint32(body[20:], 4096) // max_write
	case fuseGetattr:
		body = make([]byte, 104)
		le.PutUint64(body[16:], 1)                     // ino
		le.PutUint32(body[16+60:], unix.S_IFDIR|0o755) // mode
		le.PutUint32(body[16+64:], 2)                  // nlink
	case fuseStatfs: // 1000 blocks of 4096 bytes, 600 of them free; preferred I/O size 128 KiB
		body = make([]byte, 80)
		le.PutUint64(body, 1000)
		le.PutUint64(body[8:], 600)
		le.PutUint64(body[16:], 600)
		le.PutUint32(body[40:], 128<<10)
		le.PutUint32(body[44:], 255)
		le.PutUint32(body[48:], 4096)
	default:
		return nil, int32(unix.ENOSYS)
	}
	return body, 0
}

// mountFuse mounts a FUSE file system on dir and returns the descriptor to
// serve it from.
func mountFuse(t *testing.T, dir string) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("needs /dev/fuse: %v", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40755,user_id=%d,group_id=%d,allow_other", fd, os.Getuid(), os.Getgid())
	if err := unix.Mount("hekatest", dir, "fuse.hekatest", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd)
		t.Skipf("needs to be allowed to mount (CAP_SYS_ADMIN): %v", err)
	}
	f := os.NewFile(uintptr(fd), "/dev/fuse")
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = f.Close()
	})
	return f
}

// deadMount is a FUSE file system whose statfs can be made to hang.
type deadMount struct {
	dir    string
	hang   func()
	revive func()
}

// silentServer returns a mount that is served by this process. When it hangs,
// the process does not answer.
func silentServer(t *testing.T) deadMount {
	dir := t.TempDir()
	f := mountFuse(t, dir)
	gate := make(chan bool, 1) // holds a token while statfs is answered
	gate <- true
	done := make(chan bool)
	go func() {
		defer close(done)
		fuseServer(int(f.Fd()), func() { gate <- <-gate })
	}()
	hung := false
	m := deadMount{dir: dir, hang: func() { <-gate; hung = true }, revive: func() { gate <- true; hung = false }}
	t.Cleanup(func() { // runs before the file is closed
		if hung {
			m.revive()
		}
		check(t, unix.Unmount(dir, unix.MNT_DETACH))
		<-done
	})
	return m
}

// stoppedServer returns a mount that is served by another process. When it
// hangs, the process is stopped by a signal.
func stoppedServer(t *testing.T) deadMount {
	dir := t.TempDir()
	f := mountFuse(t, dir)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^TestFuseServer$")
	cmd.Env = append(os.Environ(), "HEKA_TEST_FUSE=1")
	cmd.ExtraFiles = []*os.File{f}
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // the process was killed, so this is an error
	})
	var status unix.Statfs_t
	check(t, unix.Statfs(dir, &status)) // it has started
	check(t, f.Close())                 // so that the mount ends with the process
	return deadMount{
		dir: dir,
		hang: func() {
			check(t, cmd.Process.Signal(unix.SIGSTOP))
			// Like other signals, a stop takes effect a little later.
			_, err := unix.Wait4(cmd.Process.Pid, nil, unix.WUNTRACED, nil)
			check(t, err)
		},
		revive: func() { check(t, cmd.Process.Signal(unix.SIGCONT)) },
	}
}

// TestFuseServer is the server process of stoppedServer.
func TestFuseServer(t *testing.T) {
	if os.Getenv("HEKA_TEST_FUSE") == "" {
		t.Skip("runs as a part of TestRealDeadMount")
	}
	fuseServer(3, func() {})
}

// TestRealDeadMount makes a real file system hang while the scheduler runs.
// That costs one goroutine and one metric, and everything else goes on. When
// the file system answers again, it is sent again.
func TestRealDeadMount(t *testing.T) {
	for name, start := range map[string]func(*testing.T) deadMount{"silent": silentServer, "stopped": stoppedServer} {
		t.Run(name, func(t *testing.T) { testRealDeadMount(t, start(t)) })
	}
}

func testRealDeadMount(t *testing.T, m deadMount) {
	live := t.TempDir()
	if err := unix.Mount("hekalive", live, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs to be allowed to mount (CAP_SYS_ADMIN): %v", err)
	}
	defer func() { check(t, unix.Unmount(live, unix.MNT_DETACH)) }()
	cfg := collect.Config{
		Interval: 300 * time.Millisecond, FilesystemTypesExclude: regexp.MustCompile(`^proc$`),
		Filesystem: collect.Filter{Include: regexp.MustCompile("^(" + regexp.QuoteMeta(m.dir) + "|" + regexp.QuoteMeta(live) + ")$")},
	}
	list := []collect.Collector{fake{name: "before"}}
	for _, b := range collect.Builtins() {
		if b.Name == "filesystem" {
			list = append(list, b.New(cfg))
		}
	}
	k := &sink{}
	const ticks, dies, revived = 6, 2, 4
	var goroutines [ticks + 1]int
	k.after = func(n int) {
		goroutines[n] = runtime.NumGoroutine()
		switch n {
		case dies:
			m.hang()
		case revived:
			m.revive()
			awaitGoroutines(t, goroutines[dies])
		}
	}
	s := collect.NewScheduler(cfg, append(list, fake{name: "after"}), k, zerolog.Nop())
	check(t, s.Take(t.Context(), ticks, cfg.Interval))
	for i, tick := range k.ticks {
		n := i + 1
		hangs := n > dies && n <= revived
		used, sent := tick[usageOf("hekatest", m.dir)+"type=fuse.hekatest,mode=rw,state=used}"]
		if sent == hangs || sent && used.value.Int64() != 400*4096 {
			t.Errorf("tick %d has the mount: %v, used %d; it hangs: %v", n, sent, used.value.Int64(), hangs)
		}
		if !has(tick, usageOf("hekalive", live)) || !has(tick, "fake.value{by=before}") || !has(tick, "fake.value{by=after}") {
			t.Errorf("tick %d lacks the other mount or another collector", n)
		}
		if got := tick["heka.agent.mounts.stuck"].value.Int64(); (got == 1) != hangs || got > 1 {
			t.Errorf("tick %d: heka.agent.mounts.stuck = %d; it hangs: %v", n, got, hangs)
		}
		if got := goroutines[n] - goroutines[dies]; hangs && got > 1 {
			t.Errorf("tick %d has %d goroutines more than before, want one", n, got)
		}
	}
	stats := s.Stats()
	if got := stats.Collectors[1].Timeouts; got != revived-dies {
		t.Errorf("%d timeouts, want %d", got, revived-dies)
	}
	if stats.SkippedTicks != 0 {
		t.Errorf("%d ticks skipped, want none", stats.SkippedTicks)
	}
}

func usageOf(device, dir string) string {
	return "system.filesystem.usage{device=" + device + ",mountpoint=" + dir + ","
}
