package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestIrregularFiles puts a named pipe, a device and a directory under each
// name that the spool opens: none may hold it up, and whoever looks is told.
func TestIrregularFiles(t *testing.T) {
	const size = 50
	kinds := map[string]func(path string) error{
		"pipe":      func(path string) error { return syscall.Mkfifo(path, fileMode) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"directory": func(path string) error { return os.Mkdir(path, dirMode) },
	}
	for kind, irregular := range kinds {
		for what, name := range map[string]string{
			"segment": segmentID{9, 0, 1}.name(),
			"letter":  deadDir + "/" + letterID{timeMS: 1, salt: 2}.name(),
			"replay":  deadDir + "/" + stem(letterID{timeMS: 1, salt: 2}.name()) + replaySuffix,
			"sidecar": "", // of the one segment
			"ledger":  ledgerName,
			"lock":    lockName,
		} {
			t.Run(kind+" for "+what, func(t *testing.T) {
				dir := t.TempDir()
				segment, b := image(t, 3, size, true)
				must(t, os.WriteFile(filepath.Join(dir, segment), b, fileMode))
				must(t, os.Mkdir(filepath.Join(dir, deadDir), dirMode))
				if name == "" {
					id, _, _ := parseName(segment)
					name = id.sidecar()
				}
				must(t, irregular(filepath.Join(dir, name)))
				in := inspectDir(t, dir, nil, ownerNone)
				if told := slices.ContainsFunc(in.findings, func(f Finding) bool {
					return f.File == name && f.Found == FoundFile && f.Severity == Damage
				}); told != (name != lockName) || len(in.waiting()) != 3 {
					t.Errorf("shows %+v", in.findings)
				}
				promptly(t, func() { goesOn(t, dir, size, name == ledgerName || name == lockName) })
			})
		}
	}
}

// goesOn has a spool take and give what it can.
func goesOn(t *testing.T, dir string, size int, unusable bool) {
	s, _ := testSpool(t, dir, Config{})
	defer s.Close(background)
	if unusable {
		if err := s.Append(rec(4, size)); !errors.Is(err, ErrUnavailable) || s.Stats().Cause == nil {
			t.Errorf("appends with %v", err)
		}
		return
	}
	appendAll(t, s, 4, 4, size)
	s.tick()
	s.replay()
	if got := drain(t, s, size); !slices.Equal(got, upTo(4)) {
		t.Errorf("read %v", got)
	}
	checkBalance(t, s)
}

// promptly fails the test if f hangs.
func promptly(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("hangs")
	}
}
