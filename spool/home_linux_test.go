package spool_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// put appends a record and closes the spool; it returns why it was not usable.
func put(t *testing.T, dir string) error {
	t.Helper()
	var cause error
	s := spool.Open(spool.Config{Dir: dir, MaxBytes: 8 << 20, Notify: func(err error) { cause = err }})
	err := s.Append(spool.Record{ID: spool.ID{Epoch: 1, Seq: 1}, Items: 3, TimeMS: 1, Payload: []byte("payload")})
	s.SetAside(spool.Letter{Of: spool.ID{Epoch: 1, Seq: 2}, Reason: "refused", Record: spool.Record{ID: spool.ID{Epoch: 1, Seq: 3}, Items: 1}})
	return errors.Join(cause, err, s.Close(t.Context()))
}

// plant lays links to a victim in the way of everything that the spool makes.
func plant(t *testing.T, dir, victim string) {
	t.Helper()
	for _, name := range []string{"lock", "ledger", "probe", "dead", "quarantine", "0000000000000001-0000000000000000-00000001.seg"} {
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADirectoryOfOthersGetsAFolderOfItsOwn(t *testing.T) {
	type change = func(dir string) error
	mode := func(m os.FileMode) change { return func(dir string) error { return os.Chmod(dir, m) } }
	cases := map[string]struct {
		change change
		own    bool
	}{
		"0700": {mode(0o700), false}, "0755": {mode(0o755), false},
		"0777": {mode(0o777), true}, "0770": {mode(0o770), true}, "0775": {mode(0o775), true}, "0702": {mode(0o702), true},
		"like /tmp": {mode(0o777 | os.ModeSticky), true}, "of a group": {mode(0o770 | os.ModeSetgid), true},
	}
	if os.Geteuid() == 0 {
		cases["another user's"] = struct {
			change change
			own    bool
		}{func(dir string) error { return os.Chown(dir, 1234, 1234) }, true}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			victim := filepath.Join(t.TempDir(), "victim")
			if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "volume")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if c.own {
				plant(t, dir, victim)
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Stat(dir)
			for range 2 { // the second finds what the first made
				if err := put(t, dir); err != nil {
					t.Fatal(err)
				}
			}
			at := spool.Locate(dir)
			if (at != dir) != c.own || c.own && filepath.Dir(at) != dir {
				t.Fatalf("the spool is in %s", at)
			}
			if st, err := os.Lstat(at); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("%s has mode %v, %v", at, st.Mode(), err)
			}
			if after, _ := os.Stat(dir); c.own && after.Mode() != before.Mode() {
				t.Errorf("the volume's mode was changed from %v to %v", before.Mode(), after.Mode())
			}
			sum, err := spool.Inspect(t.Context(), spool.Query{Dir: at, Segments: true, Letters: true}, func(spool.Finding) error { return nil })
			if err != nil || sum.Records != 2 || sum.LetterEntries != 1 || sum.Damages > 0 {
				t.Errorf("it holds %+v, %v", sum, err)
			}
			if content, _ := os.ReadFile(victim); string(content) != "precious" {
				t.Errorf("the victim holds %q", content)
			}
			if st, _ := os.Stat(victim); st.Mode().Perm() != 0o644 {
				t.Errorf("the victim has mode %v", st.Mode())
			}
		})
	}
}

// What lies in the way of the folder is not used, unless it is made private.
func TestTheFolderItself(t *testing.T) {
	for name, c := range map[string]struct {
		lay  func(at, elsewhere string) error
		says string // "" if it is used
	}{
		"own and open": {func(at, _ string) error { return errors.Join(os.Mkdir(at, 0o777), os.Chmod(at, 0o777)) }, ""},
		"a link":       {func(at, elsewhere string) error { return os.Symlink(elsewhere, at) }, "symbolic links"},
		"a file":       {func(at, _ string) error { return os.WriteFile(at, nil, 0o600) }, "is no directory"},
		"another's":    {func(at, _ string) error { return errors.Join(os.Mkdir(at, 0o777), os.Chown(at, 1234, 1234)) }, "belongs to another user"},
	} {
		if name == "another's" && os.Geteuid() != 0 {
			continue // only root can give it away
		}
		dir, elsewhere := t.TempDir(), t.TempDir()
		at := filepath.Join(dir, "heka-insights-agent")
		if err := errors.Join(os.Chmod(dir, 0o777), c.lay(at, elsewhere)); err != nil {
			t.Fatal(err)
		}
		err := put(t, dir)
		if c.says == "" {
			if st, _ := os.Stat(at); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, mode %v", name, err, st.Mode())
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if left, _ := os.ReadDir(elsewhere); len(left) > 0 {
			t.Errorf("%s: it was followed", name)
		}
	}
}

// A root that looks in, or has tried an agent of its own, does not lose sight of
// the spool of the directory's owner.
func TestLocateAsksNobodyWhoItIs(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := put(t, dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "heka-insights-agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := spool.Locate(dir); got != dir {
		t.Errorf("Locate = %s", got)
	}
	if missing := filepath.Join(dir, "not there"); spool.Locate(missing) != missing {
		t.Error("a directory that is not there is elsewhere")
	}
}

// Whatever below a private directory is a link is not followed either.
func TestNoLinkBelowTheDirectoryIsFollowed(t *testing.T) {
	for _, name := range []string{"lock", "ledger", "dead", "quarantine"} {
		victims, dir := t.TempDir(), t.TempDir()
		victim := filepath.Join(victims, "victim")
		target := victim
		if name == "dead" || name == "quarantine" {
			target = victims
		}
		if err := errors.Join(os.Chmod(dir, 0o700), os.WriteFile(victim, []byte("precious"), 0o644), os.Symlink(target, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		_ = put(t, dir)
		left, _ := os.ReadDir(victims)
		st, _ := os.Stat(victim)
		if content, _ := os.ReadFile(victim); string(content) != "precious" || len(left) != 1 || st.Mode().Perm() != 0o644 {
			t.Errorf("%s: the victim holds %q, mode %v, beside %v", name, content, st.Mode(), left)
		}
	}
}
