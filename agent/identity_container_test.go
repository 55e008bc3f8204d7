package agent_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/agent"
)

const (
	containerA = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"
	containerB = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
)

// identifyIn identifies an agent whose own /proc and the like are files.
func identifyIn(t *testing.T, vars, files map[string]string) (agent.Identity, []string) {
	t.Helper()
	cfg, _ := load(t, vars)
	return agent.IdentifyIn(cfg, false, hostTree(t, files))
}

// valueOf returns an attribute as "value (source)", or "".
func valueOf(id agent.Identity, key string) string {
	for _, a := range id.Attributes {
		if a.Key == key {
			return a.Value + " (" + a.Source + ")"
		}
	}
	return ""
}

func TestContainerID(t *testing.T) {
	const task = "c23e5f76c09d438aa1824ca4058bdcab"
	mount := func(root, point string) string {
		return "1 2 0:1 / / rw - overlay overlay rw\n3 1 8:1 " + root + " " + point + " rw - ext4 /dev/sda1 rw\n"
	}
	for name, c := range map[string]struct {
		groups, mounts, want string
		pod                  bool
		metadata             string
	}{
		"docker, version 1":      {groups: "9:memory:/docker/" + containerA + "\n0::/docker/" + containerA + "\n", want: containerA},
		"docker, systemd":        {groups: "0::/system.slice/docker-" + containerA + ".scope\n", want: containerA},
		"podman":                 {groups: "0::/machine.slice/libpod-" + containerA + ".scope/container\n", want: containerA},
		"kubernetes, version 1":  {groups: "4:memory:/kubepods/burstable/pod12-34/" + containerA + "\n", want: containerA, pod: true},
		"kubernetes, containerd": {groups: "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-" + containerA + ".scope\n", want: containerA, pod: true},
		"containerd, colons":     {groups: "0::/system.slice/containerd.service/kubepods-podab.slice:cri-containerd:" + containerA + "\n", want: containerA},
		"docker in docker":       {groups: "0::/docker/" + containerB + "/docker/" + containerA + "\n", want: containerA},
		"service":                {groups: "0::/system.slice/agent.service\n"},
		"longer":                 {groups: "0::/docker/" + containerA + "0\n"},
		"namespace, docker":      {groups: "0::/\n", mounts: mount("/var/lib/docker/containers/"+containerA+"/hostname", "/etc/hostname"), want: containerA},
		"namespace, podman":      {groups: "0::/\n", mounts: mount("/var/lib/containers/storage/overlay-containers/"+containerA+"/userdata/hosts", "/etc/hosts"), want: containerA},
		"a pod's sandbox":        {groups: "0::/\n", mounts: mount("/var/lib/docker/containers/"+containerA+"/hostname", "/etc/hostname"), pod: true},
		"containerd's sandbox":   {groups: "0::/\n", mounts: mount("/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/"+containerA+"/hostname", "/etc/hostname")},
		"another mount":          {groups: "0::/\n", mounts: mount("/var/lib/docker/containers/"+containerA+"/x", "/data")},
		"neither":                {groups: "\n::\n0:\n", mounts: "x\n1 2 3 4 /etc/hostname\n"},
		"fargate":                {groups: "4:memory:/ecs/" + task + "/" + task + "-1234567890\n", want: task + "-1234567890"},
		"fargate, version 2":     {groups: "0::/ecs/" + task + "/" + task + "-123467890\n", want: task + "-123467890"},
		"fargate, flat":          {groups: "1:name=systemd:/ecs/" + task + "-1234567890\n", want: task + "-1234567890"},
		"fargate, systemd":       {groups: "0::/ecs.slice/docker-" + task + "-12.scope\n", want: task + "-12"},
		"ECS on EC2":             {groups: "9:perf_event:/ecs/55091c13-b8cf-4801-b527-f4601742204d/" + containerA + "\n", want: containerA},
		"ECS on EC2, version 2":  {groups: "0::/ecstasks.slice/ecstasks-" + task + ".slice/docker-" + containerA + ".scope\n", want: containerA},
		"ECS, its task alone":    {groups: "0::/ecs/" + task + "\n"},
		"fargate, namespace":     {groups: "0::/\n", metadata: "http://169.254.170.2/v4/" + task + "-77", want: task + "-77"},
		"EC2, namespace":         {groups: "0::/\n", metadata: "http://169.254.170.2/v4/55091c13-b8cf-4801-b527-f4601742204d"},
		"garden":                 {groups: "0::/system.slice/garden.service/garden/6f265890-5165-7fab-6b52-18d1\n", want: "6f265890-5165-7fab-6b52-18d1"},
		"garden, UUID":           {groups: "1:cpu:/garden/6f265890-5165-7fab-6b52-18d1000000ab\n", want: "6f265890-5165-7fab-6b52-18d1000000ab"},
		"a terminal's scope":     {groups: "0::/user.slice/user-1000.slice/vte-spawn-6f265890-5165-7fab-6b52-18d1000000ab.scope\n"},
		"a pod's directory":      {groups: "0::/kubepods/burstable/pod6f265890-5165-7fab-6b52-18d1000000ab\n", pod: true},
	} {
		vars := map[string]string{"ECS_CONTAINER_METADATA_URI_V4": c.metadata}
		if c.pod {
			vars["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
		}
		id, _ := identifyIn(t, vars, map[string]string{"proc/self/cgroup": c.groups, "proc/self/mountinfo": c.mounts})
		got, _, _ := strings.Cut(valueOf(id, "container.id"), " ")
		if got != c.want {
			t.Errorf("%s: container.id %q, want %q", name, got, c.want)
		}
	}
}

func TestHostNameInOrder(t *testing.T) {
	etc := hostTree(t, map[string]string{"hostname": "node-file\n"})
	for _, c := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"HEKA_HOSTNAME": "set", "HOST_ETC": etc, "K8S_NODE_NAME": "node"}, "set (HEKA_HOSTNAME)"},
		{map[string]string{"HOST_ETC": etc, "K8S_NODE_NAME": "node"}, "node-file (" + etc + "/hostname)"},
		{map[string]string{"HOST_ETC": t.TempDir(), "K8S_NODE_NAME": "node"}, "node (K8S_NODE_NAME)"},
		{map[string]string{"K8S_NODE_NAME": "node", "NODE_NAME": "other", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "node (K8S_NODE_NAME)"},
		{map[string]string{"NODE_NAME": "node", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "node (NODE_NAME)"},
		{map[string]string{"K8S_NODE_NAME": "node", "HEKA_RESOURCE_ATTRIBUTES": "host.name=listed"}, "listed (HEKA_RESOURCE_ATTRIBUTES)"},
	} {
		id, warnings := identifyIn(t, c.vars, nil)
		if got := valueOf(id, "host.name"); got != c.want || len(warnings) > 0 && !strings.Contains(warnings[0], "machine id") {
			t.Errorf("%v: host.name=%s, warnings %q, want %s", c.vars, got, warnings, c.want)
		}
	}
	// Outside of Kubernetes the name may be somebody else's; then it is the file's or the kernel's.
	id, _ := identifyIn(t, map[string]string{"NODE_NAME": "jenkins", "CONTAINER_NAME": "x"}, nil)
	if got := valueOf(id, "host.name") + valueOf(id, "k8s.container.name"); strings.Contains(got, "jenkins") || strings.Contains(got, "CONTAINER_NAME") || !strings.Contains(got, "hostname)") && !strings.Contains(got, "uname)") {
		t.Errorf("host.name=%s", got)
	}
}

func TestKubernetesAttributes(t *testing.T) {
	own := map[string]string{
		"K8S_NODE_NAME": "n", "K8S_NAMESPACE": "s", "K8S_POD_NAME": "p", "K8S_POD_UID": "u", "K8S_CONTAINER_NAME": "c",
	}
	downward := map[string]string{
		"NODE_NAME": "n", "POD_NAMESPACE": "s", "POD_NAME": "p", "POD_UID": "u", "CONTAINER_NAME": "c", "KUBERNETES_SERVICE_HOST": "10.0.0.1",
	}
	for _, vars := range []map[string]string{own, downward} {
		id, _ := identifyIn(t, vars, nil)
		for key, value := range map[string]string{
			"k8s.node.name": "n", "k8s.namespace.name": "s", "k8s.pod.name": "p", "k8s.pod.uid": "u", "k8s.container.name": "c",
		} {
			got, source, _ := strings.Cut(valueOf(id, key), " ")
			if source = strings.Trim(source, "()"); got != value || vars[source] != value {
				t.Errorf("%v: %s=%s from %s, want %s", vars, key, got, source, value)
			}
		}
	}
	with := maps.Clone(own)
	with["K8S_NAMESPACE_NAME"], with["OTEL_RESOURCE_ATTRIBUTES"] = "better", "k8s.pod.name=listed"
	id, _ := identifyIn(t, with, nil)
	if got := valueOf(id, "k8s.namespace.name") + valueOf(id, "k8s.pod.name"); got != "better (K8S_NAMESPACE_NAME)listed (OTEL_RESOURCE_ATTRIBUTES)" {
		t.Errorf("got %s", got)
	}
}

func TestHostNameThatIsAContainerID(t *testing.T) {
	for name, want := range map[string]bool{
		containerA: true, containerA[:12]: true, "web-1": false, containerA[:13]: false, "ABCDEF012345": false,
	} {
		etc := hostTree(t, map[string]string{"hostname": name, "machine-id": machineID})
		_, warnings := identifyIn(t, map[string]string{"HOST_ETC": etc}, nil)
		if got := len(warnings) == 1 && strings.HasPrefix(warnings[0], "HEKA_HOSTNAME: the host name "+name+" ("+etc+"/hostname) looks like"); got != want {
			t.Errorf("%s: warnings %q, want one: %v", name, warnings, want)
		}
		for variable, text := range map[string]string{"HEKA_HOSTNAME": name, "HEKA_RESOURCE_ATTRIBUTES": "host.name=" + name} {
			if _, warnings := identifyIn(t, map[string]string{"HOST_ETC": etc, variable: text}, nil); len(warnings) > 0 {
				t.Errorf("%s=%s: warnings %q", variable, text, warnings)
			}
		}
	}
}

// TestAgentsOfOneMachineID has agents that must have ids of their own, each of
// them twice, and restarts in between.
func TestAgentsOfOneMachineID(t *testing.T) {
	etc := hostTree(t, map[string]string{"machine-id": machineID, "hostname": "h"})
	docker := func(id string) map[string]string {
		return map[string]string{"proc/self/cgroup": "0::/docker/" + id + "\n"}
	}
	agents := map[string]struct{ vars, files map[string]string }{
		"package":            {map[string]string{}, nil},
		"other state":        {map[string]string{"STATE_DIRECTORY": "/srv/second"}, nil},
		"other state, off":   {map[string]string{"STATE_DIRECTORY": "/srv/third", "HEKA_SPOOL_MODE": "off"}, nil},
		"other spool":        {map[string]string{"HEKA_SPOOL_DIR": "/data/spool"}, nil},
		"container":          {map[string]string{}, docker(containerA)},
		"container, by mark": {map[string]string{"HEKA_SPOOL_DIR": "/spool"}, map[string]string{"run/.containerenv": ""}},
	}
	seen := map[string]string{}
	for name, a := range agents {
		vars := maps.Clone(a.vars)
		vars["HOST_ETC"] = etc
		if vars["STATE_DIRECTORY"] == "" {
			vars["STATE_DIRECTORY"] = "/var/lib/heka-insights-agent"
		}
		id, _ := identifyIn(t, vars, a.files)
		if other, taken := seen[id.AgentID]; taken {
			t.Errorf("%q and %q have one id", name, other)
		}
		seen[id.AgentID] = name
		if again, _ := identifyIn(t, vars, a.files); again.AgentID != id.AgentID {
			t.Errorf("%q has another id after a restart", name)
		}
		if !strings.HasPrefix(id.AgentIDSource, "derived from "+etc) {
			t.Errorf("%q: source %q", name, id.AgentIDSource)
		}
	}
	// A machine made from a container's image is a machine.
	vars := map[string]string{"HOST_ETC": etc, "STATE_DIRECTORY": "/var/lib/heka-insights-agent"}
	if id, _ := identifyIn(t, vars, map[string]string{".dockerenv": ""}); seen[id.AgentID] != "package" {
		t.Errorf("/.dockerenv alone makes the id %s", id.AgentIDSource)
	}
	// What watches the host from a container stays the same when it is replaced.
	first, _ := identifyIn(t, vars, docker(containerA))
	if second, _ := identifyIn(t, vars, docker(containerB)); second.AgentID != first.AgentID {
		t.Error("a new container that watches the same host has another id")
	}
}

func TestReportSaysWhereFrom(t *testing.T) {
	etc := hostTree(t, map[string]string{"machine-id": machineID, "hostname": "h"})
	vars := map[string]string{"HOST_ETC": etc, "K8S_POD_NAME": "web-0", "OTEL_SERVICE_NAME": "shop", "STATE_DIRECTORY": "/var/lib/heka-insights-agent", "HEKA_COLLECTORS": "cpu"}
	cfg, _ := load(t, vars)
	id, _ := agent.IdentifyIn(cfg, false, hostTree(t, map[string]string{"proc/self/cgroup": "0::/docker/" + containerA + "\n"}))
	var out bytes.Buffer
	if err := agent.Report(&out, cfg, id, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# agent id: " + id.AgentID + "  (derived from " + etc + "/machine-id and being in a container)",
		"# resource: host.name=h  (" + etc + "/hostname)",
		"# resource: container.id=" + containerA + "  (/proc/self/cgroup)",
		"# resource: k8s.pod.name=web-0  (K8S_POD_NAME)",
		"# resource: service.name=shop  (OTEL_SERVICE_NAME)",
		"# resource: os.type=",
	} {
		if !strings.Contains(out.String(), "\n"+want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
}
