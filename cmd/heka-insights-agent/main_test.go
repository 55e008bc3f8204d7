package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// start runs the program in this process with its own environment.
func start(ctx context.Context, t *testing.T, vars map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	setEnvironment(t, vars)
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func setEnvironment(t *testing.T, vars map[string]string) {
	t.Helper()
	before := os.Environ()
	t.Cleanup(func() {
		os.Clearenv()
		for _, entry := range before {
			name, text, _ := strings.Cut(entry, "=")
			os.Setenv(name, text)
		}
	})
	os.Clearenv()
	// Keep GOMAXPROCS at two, so that a test does not slow down the tests after
	// it.
	os.Setenv("GOMAXPROCS", "2")
	os.Setenv("STATE_DIRECTORY", t.TempDir())
	for name, text := range vars {
		os.Setenv(name, text)
	}
}

// done returns a context that has already ended, so that run stops at once.
func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestExitCodes(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.env")
	if err := os.WriteFile(good, []byte("HEKA_DETAIL=detailed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	typo := map[string]string{"HEKA_ENDPONT": "https://h/"}
	for _, c := range []struct {
		args           string
		vars           map[string]string
		code           int
		stdout, stderr string // what each must contain; "" means that it must be empty
	}{
		{"version", nil, 0, program + " ", ""},
		{"config", nil, 0, "#HEKA_ENDPOINT=\n", ""},
		{"config --format markdown", nil, 0, "# Configuration\n", ""},
		{"config --format toml", nil, 2, "", `invalid value "toml" for flag --format: use one of ["env" "markdown"]`},
		{"config", typo, 0, "#HEKA_ENDPOINT=\n", ""},
		{"--version", nil, 0, program + " ", ""},
		{"-v", nil, 0, program + " ", ""},
		{"help", nil, 0, "usage: " + program + " [command]", ""},
		{"help check", nil, 0, "usage: " + program + " check", ""},
		{"help spool ls", nil, 0, "usage: " + program + " spool ls", ""},
		{"help chekc", nil, 2, "", `unknown command "chekc"`},
		{"restart", nil, 2, "", "unknown command \"restart\"\n"},
		{"check", nil, 0, "# good\n", ""},
		{"check --all", nil, 0, "HEKA_EXPORTER=console  # default\n", ""},
		{"check --all", map[string]string{"HEKA_INTERVAL": "x"}, 0, "HEKA_INTERVAL=5s  # default\n", "warning: HEKA_INTERVAL: "},
		{"check", map[string]string{"HEKA_INTERVAL": "x"}, 0, "# good, with 1 warning\n", "warning: HEKA_INTERVAL: "},
		{"check", map[string]string{"HEKA_TIMEOUT": "x", "HEKA_DETAIL": "y"}, 2, "", "\n2 problems\n"},
		{"check --connect", nil, 1, "# agent id: ", "\n1 problem\n"},
		{"check --env-file " + good, nil, 0, "HEKA_DETAIL=detailed  # env file\n", ""},
		{"check -env-file=" + good, nil, 0, "HEKA_DETAIL=detailed  # env file\n", ""},
		{"check --env-file /nowhere", nil, 2, "", program + ": --env-file /nowhere: cannot be read"},
		{"check", typo, 2, "", "HEKA_ENDPONT: is not a variable"},
		{"run", typo, 2, "", "HEKA_ENDPONT: is not a variable"},
		{"", typo, 2, "", "HEKA_ENDPONT: is not a variable"},
		{"once", typo, 2, "", "HEKA_ENDPONT: is not a variable"},
		{"once --format xml", nil, 2, "", `invalid value "xml" for flag --format`},
		{"run", map[string]string{"HEKA_LOG_FILE": "/proc/agent.log"}, 2, "", "HEKA_LOG_FILE: cannot be opened"},
		{"chekc", nil, 2, "", `unknown command "chekc"; did you mean "check"?`},
		{"spool", nil, 2, "", "spool: which command?"},
		{"spool lss", nil, 2, "", `unknown command "spool lss"; did you mean "spool ls"?`},
		{"spool ls", nil, 1, "", "there is no spool in "},
		{"spool ls now", nil, 2, "", `unexpected argument "now"`},
		{"spool ls", typo, 1, "", "there is no spool in "},
		{"spool ls --format xml", nil, 2, "", `invalid value "xml" for flag --format`},
		{"spool ls --env-file /nowhere", nil, 2, "", program + ": --env-file /nowhere: cannot be read"},
		{"spool cat 123", nil, 2, "", `"123" is no batch id`},
		{"spool cat 123 --dir", nil, 2, "", "flag needs an argument"},
		{"spool export", nil, 2, "", "name the directory to write to"},
		{"spool replay", nil, 2, "", "name letters or batches, or use --all"},
		{"spool purge", nil, 2, "", "say what to remove"},
		{"spool --help", nil, 0, "usage: " + program + " spool COMMAND", ""},
		{"spool ls --help", nil, 0, "-summary", ""},
		{"check now", nil, 2, "", `unexpected argument "now"`},
		{"--env-file " + good + " check", nil, 2, "", `unexpected argument "check"`},
		{"run --verbose", nil, 2, "", "flag provided but not defined: -verbose"},
		{"check --env-file", nil, 2, "", "flag needs an argument: -env-file"},
		{"--help", nil, 0, "usage: " + program + " [command]", ""},
		{"-h", nil, 0, "usage: " + program + " [command]", ""},
		{"run --help", nil, 0, "env-file", ""},
		{"once --help", nil, 0, "-format", ""},
		{"check --help", nil, 0, "-connect", ""},
		{"config -h", nil, 0, "-format", ""},
		{"version --help", nil, 0, "usage: ", ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := start(done(), t, c.vars, strings.Fields(c.args)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			holds(t, "stdout", stdout, c.stdout)
			holds(t, "stderr", stderr, c.stderr)
		})
	}
}

func holds(t *testing.T, stream, got, want string) {
	t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%s is\n%s\nwant %q in it", stream, got, want)
	}
}

// TestCheckPrintsWhatIsSet checks that the report has no line for a variable
// that is not set.
func TestCheckPrintsWhatIsSet(t *testing.T) {
	_, stdout, _ := start(done(), t, map[string]string{"HEKA_DETAIL": "detailed"}, "check")
	if got, _, _ := strings.Cut(stdout, "\n\n"); got != "HEKA_DETAIL=detailed  # environment" || !strings.HasSuffix(stdout, "\n# good\n") {
		t.Errorf("got\n%s", stdout)
	}
}

// TestEveryCommandTakesEnvFile checks a promise of the contract for every
// command.
func TestEveryCommandTakesEnvFile(t *testing.T) {
	all := slices.DeleteFunc(commands(), func(c command) bool { return c.group != nil })
	for _, c := range spoolCommands() {
		c.name = "spool " + c.name
		all = append(all, c)
	}
	for _, c := range all {
		code, stdout, _ := start(done(), t, nil, append(strings.Fields(c.name), "--help")...)
		if code != 0 || !strings.Contains(stdout, "-env-file") || !strings.Contains(stdout, c.summary) {
			t.Errorf("%s --help: exit code %d\n%s", c.name, code, stdout)
		}
	}
}

func TestEveryProblemIsALine(t *testing.T) {
	code, stdout, stderr := start(done(), t, map[string]string{
		"HEKA_TIMEOUT": "x", "HEKA_DETAIL": "y", "HEKA_BATCH_MAX_POINTS": "z", "HEKA_API_KEY_FILE": "/nowhere",
	})
	if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 4 {
		t.Errorf("exit code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
}

func TestRunStopsCleanly(t *testing.T) {
	if code, _, stderr := start(done(), t, nil, "run"); code != exitOK {
		t.Errorf("exit code %d, want %d; stderr\n%s", code, exitOK, stderr)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestStdoutThatCannotBeWritten(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{&os.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}, exitOK},
		{errors.New("disk full"), exitFailure},
	} {
		for _, name := range []string{"config", "check", "version"} {
			setEnvironment(t, nil)
			if code := run(done(), []string{name}, brokenWriter{c.err}, io.Discard); code != c.code {
				t.Errorf("%s with %v: exit code %d, want %d", name, c.err, code, c.code)
			}
		}
	}
}
