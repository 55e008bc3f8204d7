package agent

import (
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// TestInstanceOfAnImage has containers of one image, whose /etc/machine-id is
// the same in each: HOST_ETC is not set.
func TestInstanceOfAnImage(t *testing.T) {
	k8s := func(pairs ...string) (cfg Config) {
		for i := 0; i < len(pairs); i += 2 {
			cfg.Identity.Kubernetes = append(cfg.Identity.Kubernetes, Attribute{metric.L(pairs[i], pairs[i+1]), "VAR"})
		}
		return cfg
	}
	long, other := strings.Repeat("a", 64), strings.Repeat("b", 64)
	in := func(id string) surroundings { return surroundings{containerID: id, contained: true} }
	for _, c := range []struct {
		cfg      Config
		around   surroundings
		want     string
		wantWhat string
	}{
		{Config{}, surroundings{}, "", ""},
		{k8s("k8s.pod.uid", "u1", "k8s.pod.name", "p"), in(long), ";pod=u1", " and VAR"},
		{k8s("k8s.pod.uid", "u1"), in(other), ";pod=u1", " and VAR"}, // restarted in its pod
		{k8s("k8s.namespace.name", "ns", "k8s.pod.name", "p"), in(long), ";pod=ns/p", " and VAR"},
		{k8s("k8s.node.name", "n"), in(long), ";container=" + long, " and the container's id"},
		{Config{}, in(long[:32] + "-1"), ";container=" + long[:32] + "-1", " and the container's id"},
		{Config{}, surroundings{uname: "ip-10-0-0-1", contained: true}, ";host=ip-10-0-0-1", " and the container's host name"},
		{Config{Identity: IdentityConfig{Hostname: "h"}}, in(""), ";host=h", " and the container's host name"},
		{Config{Identity: IdentityConfig{Hostname: "h"}, Spool: SpoolConfig{Mode: "always", Dir: "/s"}}, in(""), "spool=/s;host=h", " and the spool directory and the container's host name"},
	} {
		if got, what := instance(c.cfg, c.around); got != c.want || what != c.wantWhat {
			t.Errorf("%+v in %+v: %q%q, want %q%q", c.cfg.Identity, c.around, got, what, c.want, c.wantWhat)
		}
	}
}
