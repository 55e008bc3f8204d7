package agent_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/heka-insights/heka-insights-agent/agent"
)

const mebibyte = 1 << 20

func openLog(t *testing.T, name string) (func(text string), *agent.LogFile) {
	t.Helper()
	log, file, err := agent.NewLogger(agent.LogConfig{Level: "info", Format: "json", File: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return func(text string) { log.Info().Msg(text) }, file
}

// sizes returns the sizes of what lies in a directory, by name.
func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name()] = info.Size()
	}
	return found
}

func TestLogFileRotates(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "agent.log")
	log, _ := openLog(t, name)
	var writing sync.WaitGroup
	for worker := range 4 { // 32 MiB each, in lines of about 1 MiB
		writing.Go(func() {
			for n := range 32 {
				log(fmt.Sprintf("%d-%d", worker, n) + strings.Repeat("x", mebibyte))
			}
		})
	}
	writing.Wait()
	log("newest")
	found := sizes(t, dir)
	for file, size := range found {
		if size > 10*mebibyte {
			t.Errorf("%s has %d bytes", file, size)
		}
	}
	for _, file := range []string{"agent.log", "agent.log.1", "agent.log.2", "agent.log.3", "agent.log.4"} {
		if _, ok := found[file]; !ok || len(found) != 5 {
			t.Errorf("no %s, in %v", file, found)
		}
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || content[len(content)-1] != '\n' || content[0] != '{' {
			t.Errorf("%s does not hold whole lines: %v", file, err)
		}
		if bytes.Contains(content, []byte("newest")) != (file == "agent.log") {
			t.Errorf("%s: the newest line is elsewhere", file)
		}
	}
}

// Two agents may have one log file, and a person may cut it.
func TestLogFileOfTwoIsRotatedOnce(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "agent.log")
	one, _ := openLog(t, name)
	other, _ := openLog(t, name)
	for range 9 {
		one(strings.Repeat("x", mebibyte))
		other("y")
	}
	one(strings.Repeat("x", mebibyte)) // rotates
	for range 9 {
		other(strings.Repeat("y", mebibyte))
	}
	other(strings.Repeat("y", mebibyte)) // follows
	other("newest")
	if found := sizes(t, dir); len(found) != 2 {
		t.Errorf("%v", found)
	}
	if content, _ := os.ReadFile(name); !bytes.Contains(content, []byte("newest")) {
		t.Error("the line is not in the file of that name")
	}
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		other(strings.Repeat("z", mebibyte))
	}
	if found := sizes(t, dir); len(found) != 2 {
		t.Errorf("after it was cut: %v", found)
	}
}

func TestLogFileThatCannotBeRotatedGoesOn(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "agent.log")
	if err := os.MkdirAll(filepath.Join(name+".4", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".3", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log, _ := openLog(t, name)
	for range 25 {
		log(strings.Repeat("x", mebibyte))
	}
	if found := sizes(t, dir); found["agent.log"] < 25*mebibyte {
		t.Errorf("%v", found)
	}
}

func TestReopenKeepsTheOldFileIfItMust(t *testing.T) {
	dir := t.TempDir()
	name, victim := filepath.Join(dir, "agent.log"), filepath.Join(dir, "victim")
	log, file := openLog(t, name)
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name, name+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, name); err != nil {
		t.Fatal(err)
	}
	if err := file.Reopen(); err == nil {
		t.Error("a link was opened")
	}
	log("still here")
	if found := sizes(t, dir); found["victim"] != 0 || found["agent.log.old"] == 0 {
		t.Errorf("%v", found)
	}
}

// The log is not led to a file that somebody else chose, whether that is there or
// not, and whether the link is there at the start or when the file rotates.
func TestLogFileFollowsNoLink(t *testing.T) {
	for name, plant := range map[string]func(t *testing.T, victim, log string) error{
		"link":          func(_ *testing.T, victim, log string) error { return os.Symlink(victim, log) },
		"relative link": func(_ *testing.T, victim, log string) error { return os.Symlink(filepath.Base(victim), log) },
		"dangling link": func(_ *testing.T, victim, log string) error { return os.Symlink(victim+".not-there", log) },
		"hard link in a shared directory": func(t *testing.T, victim, log string) error {
			if err := os.Chmod(filepath.Dir(log), 0o777); err != nil {
				t.Fatal(err)
			}
			return os.Link(victim, log)
		},
	} {
		dir := t.TempDir()
		victim, log := filepath.Join(dir, "victim"), filepath.Join(dir, "agent.log")
		if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := plant(t, victim, log); err != nil {
			t.Fatal(err)
		}
		var bad *agent.ConfigError
		if _, _, err := agent.NewLogger(agent.LogConfig{Level: "info", File: log}, nil); !errors.As(err, &bad) {
			t.Errorf("%s: %v, want a problem", name, err)
		}
		if content, _ := os.ReadFile(victim); string(content) != "precious" || len(sizes(t, dir)) != 2 {
			t.Errorf("%s: the victim holds %q, beside %v", name, content, sizes(t, dir))
		}
	}
}

// What the system leads to an open file is taken as it is, and not renamed.
func TestLogFileThatIsAStream(t *testing.T) {
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	log, file := openLog(t, fmt.Sprintf("/proc/self/fd/%d", out.Fd()))
	for range 12 {
		log(strings.Repeat("x", mebibyte))
	}
	if err := file.Reopen(); err != nil {
		t.Error(err)
	}
	if found := sizes(t, dir); len(found) != 1 || found["out"] < 12*mebibyte {
		t.Errorf("%v", found)
	}
}
