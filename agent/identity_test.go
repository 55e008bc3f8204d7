package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/agent"
)

const machineID = "0123456789abcdef0123456789abcdef"

// hostTree returns a directory with the given files.
func hostTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func identify(t *testing.T, vars map[string]string) (agent.Identity, []string) {
	t.Helper()
	cfg, _ := load(t, vars)
	return agent.IdentifyIn(cfg, false, t.TempDir())
}

func TestIdentityOfAHost(t *testing.T) {
	etc := hostTree(t, map[string]string{
		"hostname": "# set by the installer\n\nweb-1\n", "machine-id": machineID + "\n",
		"os-release": "NAME=Debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n",
	})
	id, warnings := identify(t, map[string]string{"HOST_ETC": etc})
	if len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
	var got []string
	for _, a := range id.Attributes {
		got = append(got, fmt.Sprintf("%s=%s (%s)", a.Key, a.Value, strings.TrimPrefix(a.Source, etc)))
	}
	want := regexp.MustCompile(`^host\.name=web-1 \(/hostname\)
host\.id=` + machineID + ` \(/machine-id\)
host\.arch=\w+ \(built for it\)
os\.type=\w+ \(built for it\)
os\.description=Debian GNU/Linux 13 \(trixie\) \(/os-release\)$`)
	if !want.MatchString(strings.Join(got, "\n")) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if labels := id.Resource(); len(labels) != 5 || labels[0].Key != "host.name" || labels[0].Value != "web-1" {
		t.Errorf("Resource() = %v", labels)
	}
}

// Quotes and backslashes of os-release are those of a shell, as its manual says.
func TestDescriptionIsUnescaped(t *testing.T) {
	for text, want := range map[string]string{
		`PRETTY_NAME="Fedora Linux 43"`: "Fedora Linux 43", `PRETTY_NAME='Arch Linux'`: "Arch Linux", `PRETTY_NAME=Void`: "Void",
		`PRETTY_NAME="\"Zod\" \$5 \\ \` + "`" + `x\` + "`" + ` \n it's"`: `"Zod" $5 \ ` + "`x`" + ` \n it's`,
		`PRETTY_NAME='a\$b "c" \\'`:                                      `a\$b "c" \\`, `PRETTY_NAME=a\ b\"`: `a b"`, `PRETTY_NAME=Void # 1`: "Void",
		`PRETTY_NAME="Caf\303"`: `Caf\303`, `PRETTY_NAME="ends with \"`: `ends with "`, `PRETTY_NAME="\`: `\`, "PRETTY_NAME=\"CRLF\"\r": "CRLF",
		"PRETTY_NAME=old\n#PRETTY_NAME=no\nPRETTY_NAME=new\nOTHER_PRETTY_NAME=no": "new", `PRETTY_NAME=""`: "", "ID=x": "",
	} {
		etc := hostTree(t, map[string]string{"machine-id": machineID, "os-release": text + "\n"})
		id, _ := identify(t, map[string]string{"HOST_ETC": etc})
		value := ""
		for _, a := range id.Attributes {
			if a.Key == "os.description" {
				value = a.Value
			}
		}
		if value != want {
			t.Errorf("%s is %q, want %q", text, value, want)
		}
	}
	root := hostTree(t, map[string]string{"etc/machine-id": machineID, "usr/lib/os-release": "PRETTY_NAME=\"From usr\"\n"})
	id, _ := identify(t, map[string]string{"HOST_ETC": root + "/etc", "HOST_ROOT": root})
	if got := valueOf(id, "os.description"); got != "From usr ("+root+"/usr/lib/os-release)" {
		t.Errorf("without /etc/os-release the description is %q", got)
	}
}

func TestAgentIDIsDerivedAndStable(t *testing.T) {
	// Part of the promise to servers: another value is another host to them.
	const want = "01cd808fe86c86c1d53a47b7c8e4056a"
	for _, vars := range []map[string]string{
		{"HOST_ETC": hostTree(t, map[string]string{"machine-id": machineID})},
		{"HOST_ETC": hostTree(t, map[string]string{"machine-id": strings.ToUpper(machineID) + "\n"})},
		{
			"HOST_ETC":  hostTree(t, map[string]string{"machine-id": "uninitialized\n"}),
			"HOST_ROOT": hostTree(t, map[string]string{"var/lib/dbus/machine-id": machineID}),
		},
		{"HOST_ETC": hostTree(t, map[string]string{"machine-id": machineID}), "HEKA_SPOOL_MODE": "off"},
	} {
		vars["STATE_DIRECTORY"] = "/var/lib/heka-insights-agent"
		id, _ := identify(t, vars)
		if id.AgentID != want || !strings.HasPrefix(id.AgentIDSource, "derived from /") {
			t.Errorf("agent id %s (%s), want %s", id.AgentID, id.AgentIDSource, want)
		}
	}
}

func TestConfiguredIdentityWins(t *testing.T) {
	etc := hostTree(t, map[string]string{"hostname": "detected", "machine-id": machineID})
	id, _ := identify(t, map[string]string{
		"HOST_ETC": etc, "HEKA_AGENT_ID": "mine", "HEKA_HOSTNAME": "configured",
		"HEKA_RESOURCE_ATTRIBUTES": "host.name=listed,host.id=x,b=heka,a=1%2C2",
		"OTEL_RESOURCE_ATTRIBUTES": "b=otel,c=otel,service.name=otel,os.type=plan9",
		"OTEL_SERVICE_NAME":        "shop",
	})
	if id.AgentID != "mine" || id.AgentIDSource != "HEKA_AGENT_ID" {
		t.Errorf("agent id %s (%s)", id.AgentID, id.AgentIDSource)
	}
	var got []string
	for _, a := range id.Attributes {
		if a.Key != "host.arch" {
			got = append(got, a.Key+"="+a.Value+" "+a.Source)
		}
	}
	want := []string{
		"host.name=configured HEKA_HOSTNAME", "host.id=x HEKA_RESOURCE_ATTRIBUTES", "os.type=plan9 OTEL_RESOURCE_ATTRIBUTES",
		"a=1,2 HEKA_RESOURCE_ATTRIBUTES", "b=heka HEKA_RESOURCE_ATTRIBUTES", "c=otel OTEL_RESOURCE_ATTRIBUTES",
		"service.name=shop OTEL_SERVICE_NAME",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAgentIDWithoutMachineID(t *testing.T) {
	for _, content := range []string{"", "uninitialized\n", strings.Repeat("0", 32), machineID[1:]} {
		cfg, _ := load(t, map[string]string{"HOST_ETC": hostTree(t, map[string]string{"machine-id": content})})
		file := filepath.Join(cfg.StateDir, "agent-id")
		if _, warnings := agent.Identify(cfg, false); len(warnings) > 0 {
			t.Errorf("%q: warnings %q", content, warnings)
		}
		if _, err := os.Stat(cfg.StateDir); !os.IsNotExist(err) {
			t.Errorf("%q: something was written without remember: %v", content, err)
		}
		first, warnings := agent.Identify(cfg, true)
		if len(first.AgentID) != 32 || len(warnings) > 0 {
			t.Errorf("%q: agent id %q, warnings %q", content, first.AgentID, warnings)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%q: %v, %v, want 0600", content, info, err)
		}
		again, _ := agent.Identify(cfg, true)
		if again.AgentID != first.AgentID || again.AgentIDSource != file {
			t.Errorf("%q: agent id %s (%s), then %s", content, again.AgentID, again.AgentIDSource, first.AgentID)
		}
		// A crash or a full disk left it empty.
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if healed, _ := agent.Identify(cfg, true); len(healed.AgentID) != 32 {
			t.Errorf("%q: agent id %q from an empty file", content, healed.AgentID)
		}
	}
}

func TestAgentIDThatCannotBeKept(t *testing.T) {
	cfg, _ := load(t, map[string]string{"HOST_ETC": t.TempDir()})
	if err := os.WriteFile(cfg.StateDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	id, warnings := agent.Identify(cfg, true)
	if len(id.AgentID) != 32 || id.AgentIDSource != "random" {
		t.Errorf("agent id %q (%s)", id.AgentID, id.AgentIDSource)
	}
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "HEKA_AGENT_ID: ") || !strings.Contains(warnings[0], "not a directory") {
		t.Errorf("warnings %q", warnings)
	}
}
