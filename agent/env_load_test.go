package agent_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/agent"
)

// TestEnvFileValuesArriveWhole has values that other readers of env files cut
// or expand.
func TestEnvFileValuesArriveWhole(t *testing.T) {
	for text, want := range map[string]string{
		"HEKA_HOSTNAME=xTvDqw$27\n":                "HEKA_HOSTNAME=xTvDqw$27",
		"HEKA_HOSTNAME=web # prod # eu\n":          "HEKA_HOSTNAME=web",
		"HEKA_INTERVAL=7s # was 5s # see ticket\n": "HEKA_INTERVAL=7s",
		"HEKA_HOSTNAME=a#b$HOME${HOME}\\n":         `HEKA_HOSTNAME=a#b$HOME${HOME}\n`,
		"\ufeffHEKA_HOSTNAME='$x # y'\r\n":         "HEKA_HOSTNAME=$x # y",
		"HEKA_DISK_INCLUDE=\"^\\\"sd\\\\w\\d$\"":   `HEKA_DISK_INCLUDE=^"sd\w\d$`,
	} {
		cleanEnvironment(t, map[string]string{"HOME": "/root"})
		cfg, _, err := agent.LoadConfig(envFile(t, text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		got := slices.ContainsFunc(cfg.Settings(), func(s agent.Setting) bool {
			return s.Name+"="+s.Text == want && s.Source == agent.SourceEnvFile
		})
		if !got {
			t.Errorf("%q does not mean %s", text, want)
		}
	}
}

// TestEnvFileLinesThatOthersReadOtherwise has them one by one, and no warning
// for what is the same to all.
func TestEnvFileLinesThatOthersReadOtherwise(t *testing.T) {
	const hidden = "hunter2"
	for text, want := range map[string]string{
		"HEKA_API_KEY=hunter2$x%y=\n# ' \" \\ ${A} export\n": "",
		"HEKA_API_KEY=hunter2#x'\"\r\n":                      "",
		"\n\nHEKA_API_KEY='hunter2'\n":                       "line 3 is read otherwise elsewhere: docker's --env-file keeps the quotes",
		"export HEKA_API_KEY=hunter2\n":                      "line 1 is read otherwise elsewhere: systemd's EnvironmentFile and docker's --env-file do not take export",
		"HEKA_API_KEY=hunter2 # x\n":                         "line 1 is read otherwise elsewhere: systemd's EnvironmentFile and docker's --env-file take the comment for part of the value",
		"HEKA_API_KEY =hunter2\n":                            "line 1 is read otherwise elsewhere: docker's --env-file keeps the space beside the = or the value",
		"HEKA_API_KEY=hunter2 \n":                            "line 1 is read otherwise elsewhere: docker's --env-file keeps the space beside the = or the value",
		"HEKA_API_KEY=hunter2\\x\n":                          "line 1 is read otherwise elsewhere: systemd's EnvironmentFile or python-dotenv read a backslash otherwise",
		"HEKA_API_KEY=hunter2${A}\n":                         "line 1 is read otherwise elsewhere: python-dotenv replaces ${NAME}",
		"\ufeffHEKA_API_KEY=hunter2\n":                       "line 1 is read otherwise elsewhere: systemd's EnvironmentFile and python-dotenv take the byte order mark for part of the name",
		"HEKA_HOSTNAME=hunter2\nX=1\nHEKA_HOSTNAME=b\n":      "line 1: has no effect, since line 3 sets the variable again",
		"FOO = 'hunter2'\nexport BAR=\"\\x\" # y\nFOO=1\n":   "", // another program's affair
		"HEKA_API_KEY=hunter2 # x\nHEKA_HOSTNAME=b # y\n":    "lines 1 and 2 are read otherwise elsewhere: systemd's EnvironmentFile and docker's --env-file take the comment for part of the value",
	} {
		cleanEnvironment(t, map[string]string{"HEKA_ENDPOINT": "https://h/"})
		name := envFile(t, text)
		_, warnings, err := agent.LoadConfig(name)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		got := strings.Join(warnings, "\n")
		if want != "" {
			want = "--env-file " + name + ": " + want
		}
		if got != want || strings.Contains(got, hidden) {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// TestSpellingsOfAnEscapeThatDiffer has what each of the others makes of a
// backslash.
func TestSpellingsOfAnEscapeThatDiffer(t *testing.T) {
	for text, want := range map[string]bool{
		`'a\b'`: false, `'a\\b'`: true, `"a\\b\"c"`: false, `"a\nb"`: true, `"a\$b"`: true, `"a\db"`: true, `a\b`: true, `"ab"`: false,
	} {
		cleanEnvironment(t, nil)
		_, warnings, _ := agent.LoadConfig(envFile(t, "HEKA_DISK_INCLUDE="+text+"\n"))
		if got := strings.Contains(strings.Join(warnings, "\n"), "backslash"); got != want {
			t.Errorf("%s: %q, want a line about backslashes: %v", text, warnings, want)
		}
	}
}

func TestEnvironmentWinsInEitherSpelling(t *testing.T) {
	for _, inForce := range []string{"https_proxy", "HTTPS_PROXY"} {
		cleanEnvironment(t, map[string]string{inForce: "http://outside:1"})
		cfg, warnings, err := agent.LoadConfig(envFile(t, "HTTPS_PROXY=http://file:2\nhttps_proxy=http://file:3\n"))
		if err != nil || len(warnings) > 0 {
			t.Fatalf("warnings %q, %v", warnings, err)
		}
		for _, s := range cfg.Settings() {
			if strings.EqualFold(s.Name, inForce) && (s.Name != inForce || s.Text != "http://outside:1" || s.Source != agent.SourceEnvironment) {
				t.Errorf("%s outside: %s=%s from the %s", inForce, s.Name, s.Text, s.Source)
			}
		}
		for _, name := range []string{"https_proxy", "HTTPS_PROXY"} {
			if text := os.Getenv(name); text != "" && text != "http://outside:1" {
				t.Errorf("%s outside: %s=%s is in force", inForce, name, text)
			}
		}
	}
}

// TestPythonFileSaysWhereItIsReadAsSuch has lines that are another value by the
// grammar of this agent's files.
func TestPythonFileSaysWhereItIsReadAsSuch(t *testing.T) {
	cleanEnvironment(t, nil)
	name := envFile(t, "EXPORTER_TYPE=console\nnonsense\nHEKA_HOSTNAME=a${X}b\nOTHER=${X}\nHEKA_AGENT_ID=a1\n")
	_, warnings, err := agent.LoadConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(warnings, "\n")
	for _, want := range []string{"line 2 is not NAME=value; left out", "line 3 is read as the Python agent did;"} {
		if !strings.Contains(all, "--env-file "+name+": "+want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if strings.Count(all, "--env-file") != 2 {
		t.Errorf("got\n%s", all)
	}
}
