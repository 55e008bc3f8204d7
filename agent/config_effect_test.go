package agent_test

import (
	"slices"
	"strings"
	"testing"
)

func TestVariablesWithoutEffect(t *testing.T) {
	dir := t.TempDir()
	sent := map[string]string{"HEKA_ENDPOINT": "https://h/"}
	for _, c := range []struct {
		name, text string
		with       map[string]string
		want       bool
	}{
		{"HEKA_TEXTFILE_DIR", dir, nil, true},
		{"HEKA_TEXTFILE_DIR", dir, map[string]string{"HEKA_COLLECTORS": "+textfile"}, false},
		{"HEKA_PROCESS_TOP", "3", nil, true},
		{"HEKA_PROCESS_INCLUDE", "x", map[string]string{"HEKA_COLLECTORS": "cpu,process"}, false},
		{"HEKA_DISK_EXCLUDE", "x", nil, false},
		{"HEKA_DISK_EXCLUDE", "x", map[string]string{"HEKA_COLLECTORS": "-disk"}, true},
		{"HEKA_CPU_PER_CORE", "true", map[string]string{"HEKA_COLLECTORS": "memory"}, true},
		{"HEKA_CPU_PER_CORE", "false", map[string]string{"HEKA_COLLECTORS": "memory"}, false},
		{"HEKA_API_KEY", "hunter2", nil, true},
		{"HEKA_API_KEY", "hunter2", sent, false},
		{"HEKA_BEARER_TOKEN", "hunter2", nil, true},
		{"HEKA_HEADERS", "x-a=hunter2", nil, true},
		{"HEKA_ENDPOINT", "https://hunter2/", map[string]string{"HEKA_EXPORTER": "console"}, true},
		{"HEKA_TLS_SERVER_NAME", "hunter2", sent, false},
	} {
		vars := map[string]string{c.name: c.text}
		for name, text := range c.with {
			vars[name] = text
		}
		_, warnings := load(t, vars)
		got := len(warnings) == 1 && strings.HasPrefix(warnings[0], c.name+": has no effect, since ")
		if got != c.want || !c.want && len(warnings) > 0 || strings.Contains(strings.Join(warnings, ""), "hunter2") {
			t.Errorf("%v: warnings %q, want one: %v", vars, warnings, c.want)
		}
	}
}

func TestChangesToTheCollectors(t *testing.T) {
	for text, want := range map[string]string{
		"+textfile,-load":     "cpu,memory,disk,filesystem,network,paging,system,agent,textfile auto",
		" -LOAD , + process,": "cpu,memory,disk,filesystem,network,paging,system,agent,process auto",
		"+cpu":                "cpu,memory,disk,filesystem,network,load,paging,system,agent auto",
		"+load,-load":         "cpu,memory,disk,filesystem,network,paging,system,agent auto",
		"-container":          "cpu,memory,disk,filesystem,network,load,paging,system,agent",
		"+container":          "cpu,memory,disk,filesystem,network,load,paging,system,agent,container",
		"load,cpu":            "load,cpu",
	} {
		cfg, _ := load(t, map[string]string{"HEKA_COLLECTORS": text, "HEKA_TEXTFILE_DIR": "/x"})
		got := strings.Join(cfg.Collect.Collectors, ",")
		if cfg.Collect.AutoContainer {
			got += " auto"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestOneBadAttributeDropsNoOther has it at each place, and long good ones.
func TestOneBadAttributeDropsNoOther(t *testing.T) {
	long := strings.Repeat("v", 4096)
	good := []string{"a=1", "b=" + long, "c=3"}
	for _, bad := range []string{"x", "=1", "x=%zz", "x=" + long + "v", strings.Repeat("k", 256) + "=1", "x=%01"} {
		for at := range len(good) + 1 {
			cfg, warnings := load(t, map[string]string{"OTEL_RESOURCE_ATTRIBUTES": strings.Join(slices.Insert(slices.Clone(good), at, bad), ",")})
			var got []string
			for _, a := range cfg.Identity.Attributes {
				got = append(got, a.Key+"="+a.Value)
			}
			if !slices.Equal(got, good) || len(warnings) != 1 {
				t.Errorf("%.20q at %d: %d attributes, warnings %.200q", bad, at, len(got), warnings)
			}
		}
	}
}
