package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestMain can run the program instead of the tests. Signals end a process, so
// they are tested on a process of their own.
func TestMain(m *testing.M) {
	switch os.Getenv("PLAY") {
	case "":
		os.Exit(m.Run())
	case "main":
		main()
	case "stuck":
		playStuck()
	}
}

// playStuck reports its progress on stdout and never stops by itself.
func playStuck() {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	os.Stdout.WriteString("ready\n")
	<-ctx.Done()
	os.Stdout.WriteString("stopping\n")
	select {}
}

// play starts the test binary as another process with the given role.
func play(t *testing.T, role string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	return spawn(t, func(cmd *exec.Cmd) { cmd.Env = playEnvironment(t, role) })
}

// spawn starts the test binary as prepare sets it up, and returns its stdout.
func spawn(t *testing.T, prepare func(cmd *exec.Cmd)) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, os.Args[0])
	prepare(cmd)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // a second Wait fails, which does not matter
	})
	return cmd, bufio.NewReader(stdout)
}

func playEnvironment(t *testing.T, role string) []string {
	t.Helper()
	return []string{
		"PLAY=" + role, "STATE_DIRECTORY=" + t.TempDir(),
		"HEKA_INTERVAL=100ms", "HEKA_BATCH_INTERVAL=100ms", "HEKA_SHUTDOWN_TIMEOUT=100ms",
	}
}

func expect(t *testing.T, out *bufio.Reader, want string) {
	t.Helper()
	if got, err := out.ReadString('\n'); got != want+"\n" {
		t.Fatalf("the process says %q, %v, want %q", got, err, want)
	}
}

func exitCodeOf(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode() // -1 if a signal ended it
	}
	return 0
}

// The first signal asks the process to end, whatever signals follow it and
// however soon. Only a signal two seconds or more after the first aborts it.
func TestRepeatedSignals(t *testing.T) {
	const term, interrupt, hangup = syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP
	type sent struct {
		at  time.Duration
		sig os.Signal
	}
	for name, c := range map[string]struct {
		signals       []sent
		hangup        bool
		ends, aborted time.Duration // -1: never
	}{
		"one":                      {[]sent{{0, term}}, false, 0, -1},
		"a burst":                  {[]sent{{0, term}, {0, term}, {0, interrupt}, {time.Millisecond, term}}, false, 0, -1},
		"up to the end":            {[]sent{{0, interrupt}, {sameRequest - 1, term}}, false, 0, -1},
		"a person's second Ctrl-C": {[]sent{{0, interrupt}, {sameRequest, interrupt}}, false, 0, sameRequest},
		"measured from the first":  {[]sent{{0, term}, {3 * sameRequest / 4, term}, {3 * sameRequest / 2, term}}, false, 0, 3 * sameRequest / 2},
		"a closed terminal":        {[]sent{{0, hangup}, {time.Second, hangup}, {time.Second, term}}, true, 0, -1},
		"hangups of a service":     {[]sent{{0, hangup}, {time.Hour, hangup}}, false, -1, -1},
		"a hangup does not count":  {[]sent{{0, hangup}, {time.Hour, term}, {time.Hour + time.Second, interrupt}, {2 * time.Hour, hangup}}, false, time.Hour, -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, ends, aborted := time.Now(), time.Duration(-1), time.Duration(-1)
				signals := make(chan os.Signal)
				go handle(signals, c.hangup, func() {
					if ends >= 0 {
						t.Error("asked to end twice")
					}
					ends = time.Since(start)
				}, func() { aborted = time.Since(start) })
				for _, s := range c.signals {
					time.Sleep(time.Until(start.Add(s.at)))
					signals <- s.sig
				}
				close(signals)
				synctest.Wait()
				if ends != c.ends || aborted != c.aborted {
					t.Errorf("ends at %v, aborted at %v; want %v and %v", ends, aborted, c.ends, c.aborted)
				}
			})
		})
	}
}

func TestALaterSignalEndsAtOnce(t *testing.T) {
	for _, second := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(second.String(), func(t *testing.T) {
			t.Parallel()
			cmd, out := play(t, "stuck")
			expect(t, out, "ready")
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			expect(t, out, "stopping")
			time.Sleep(sameRequest) // or longer
			if err := cmd.Process.Signal(second); err != nil {
				t.Fatal(err)
			}
			if code := exitCodeOf(cmd.Wait()); code != exitFailure {
				t.Errorf("exit code %d, want %d", code, exitFailure)
			}
		})
	}
}

func TestSignalStopsARunningAgentCleanly(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, out := play(t, "main")
		if _, err := out.ReadByte(); err != nil { // its first batch, on the console
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Fatal(err)
		}
		if code := exitCodeOf(cmd.Wait()); code != exitOK {
			t.Errorf("%v: exit code %d, want %d", sig, code, exitOK)
		}
	}
}

func TestClosedStdoutDoesNotKill(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	cmd := exec.Command(os.Args[0], "config")
	cmd.Env = []string{"PLAY=main"}
	cmd.Stdout = writer
	if code := exitCodeOf(cmd.Run()); code != exitOK {
		t.Errorf("with nobody to read: exit code %d, want %d", code, exitOK)
	}
}

func TestReaderThatLeavesStopsTheAgent(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = playEnvironment(t, "main")
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	if _, err := reader.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	reader.Close()
	if code := exitCodeOf(cmd.Wait()); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
}

func TestStopGivesSignalsBack(t *testing.T) {
	ctx, stop := untilSignal(context.Background())
	stop()
	<-ctx.Done()
	if signal.Ignored(syscall.SIGTERM) {
		t.Error("SIGTERM is ignored after stop")
	}
}
