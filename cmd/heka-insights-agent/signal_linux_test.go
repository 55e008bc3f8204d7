package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo terminal.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// A hangup ends an agent that was started at a terminal, whether the signal is
// sent or the terminal closes.
func TestHangupOfATerminalEnds(t *testing.T) {
	// If the tests run under nohup, their children must not: a signal that is
	// caught here is not ignored there.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for _, closed := range []bool{false, true} {
		ours, theirs := openTerminal(t)
		cmd, out := spawn(t, func(cmd *exec.Cmd) {
			cmd.Env = playEnvironment(t, "main")
			cmd.Stdin = theirs
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		})
		theirs.Close()
		if _, err := out.ReadByte(); err != nil { // its first batch
			t.Fatal(err)
		}
		if closed {
			ours.Close()
		} else if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Fatal(err)
		}
		if code := exitCodeOf(cmd.Wait()); code != exitOK {
			t.Errorf("terminal closed %v: exit code %d, want %d", closed, code, exitOK)
		}
	}
}

// Without a terminal, and at a terminal under nohup, each hangup reopens the
// log file.
func TestHangupOfAServiceReopensTheLogFile(t *testing.T) {
	for name, prepare := range map[string]func(*exec.Cmd){
		"service": func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} },
		"nohup": func(cmd *exec.Cmd) {
			_, theirs := openTerminal(t)
			t.Cleanup(func() { theirs.Close() })
			cmd.Stdin = theirs
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			cmd.Args = []string{"sh", "-c", `trap "" HUP; exec "$0"`, os.Args[0]}
			cmd.Path = "/bin/sh"
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "agent.log")
			cmd, out := spawn(t, func(cmd *exec.Cmd) {
				cmd.Env = append(playEnvironment(t, "main"), "HEKA_LOG_FILE="+log)
				prepare(cmd)
			})
			if _, err := out.ReadByte(); err != nil { // its first batch
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, out)
			}()
			for n := range 3 {
				if err := os.Rename(log, fmt.Sprintf("%s.old%d", log, n)); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				for _, err := os.Stat(log); err != nil; _, err = os.Stat(log) {
					select {
					case <-ended: // at the latest when the test times out
						t.Fatalf("hangup %d: it ended: %v", n, err)
					case <-time.After(10 * time.Millisecond):
					}
				}
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := exitCodeOf(cmd.Wait()); code != exitOK {
				t.Errorf("exit code %d, want %d", code, exitOK)
			}
			if content, err := os.ReadFile(log); err != nil || len(content) == 0 {
				t.Errorf("the new file holds %q, %v; want the last lines", content, err)
			}
		})
	}
}
