package agent

import (
	"slices"
	"strings"
	"testing"
)

func TestContainerIsOnByItself(t *testing.T) {
	const file = "/sys/fs/cgroup/memory.max"
	limited, free := func() string { return file }, func() string { return "" }
	given := []string{"cpu", "agent"}
	for _, c := range []struct {
		cfg   CollectConfig
		limit func() string
		want  string
		file  string
	}{
		{CollectConfig{Collectors: given, AutoContainer: true}, limited, "cpu,agent,container", file},
		{CollectConfig{Collectors: given, AutoContainer: true}, free, "cpu,agent", ""},
		{CollectConfig{Collectors: given}, limited, "cpu,agent", ""},
		{CollectConfig{Collectors: []string{"container"}}, limited, "container", ""},
		{CollectConfig{Collectors: []string{"container"}, AutoContainer: true}, limited, "container", ""},
	} {
		got, why := c.cfg.withContainer(c.limit)
		if strings.Join(got.Collectors, ",") != c.want || why != c.file {
			t.Errorf("%+v: %q because of %q, want %q because of %q", c.cfg, got.Collectors, why, c.want, c.file)
		}
	}
	if !slices.Equal(given, []string{"cpu", "agent"}) {
		t.Errorf("the configured list has become %q", given)
	}
}
