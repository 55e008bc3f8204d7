package agent

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// surroundings is what this process can tell of the container it runs in.
type surroundings struct {
	// containerID is the container's id, or "".
	containerID, containerSource string
	// contained says that there is a container, known by id or not.
	contained bool
	// uname is the kernel's host name: that which DHCP or cloud-init give a host.
	uname string
	// cloud is what cloudAttributes says.
	cloud []Attribute
}

// lookAround reads a few small files below root, "" but in tests. Those of
// processes are this process's own: HOST_PROC shows those of another.
func lookAround(root, sys string) surroundings {
	s := surroundings{cloud: cloudAttributes(cmp.Or(sys, root+"/sys"))}
	if id := containerIDOfGroups(readText(root + "/proc/self/cgroup")); id != "" {
		s.containerID, s.containerSource = id, "/proc/self/cgroup"
	} else if id := containerIDOfMounts(readText(root + "/proc/self/mountinfo")); id != "" && !inPod() {
		// In a pod these files are those of its sandbox, another container.
		s.containerID, s.containerSource = id, "/proc/self/mountinfo"
	} else if id, name := containerIDOfECS(); id != "" {
		s.containerID, s.containerSource = id, name
	}
	// Podman's mark. Docker's, /.dockerenv, stays behind in machines that are
	// made from an image.
	_, err := os.Stat(root + "/run/.containerenv")
	if s.uname = strings.TrimSpace(readText(root + "/proc/sys/kernel/hostname")); s.uname == "" {
		s.uname, _ = os.Hostname()
	}
	s.contained = s.containerID != "" || inPod() || inECS() || err == nil
	return s
}

// containerIDOfGroups returns the id that ends a cgroup's path, as runtimes
// write it: "/docker/ID", "/kubepods/burstable/podUID/ID",
// "/kubepods.slice/kubepods-podUID.slice/cri-containerd-ID.scope",
// "/system.slice/docker-ID.scope", "/machine.slice/libpod-ID.scope/container",
// "/ecs/TASK/ID", "/garden/ID". In a cgroup namespace there is none.
func containerIDOfGroups(text string) string {
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		found, parent := "", ""
		for element := range strings.SplitSeq(fields[2], "/") {
			id := containerIDAtEnd.FindStringSubmatch(strings.TrimSuffix(element, ".scope"))
			switch {
			case id != nil:
				found = id[1] // of containers within each other, the innermost
			case parent == "garden" && gardenID.MatchString(element):
				found = element
			}
			parent = element
		}
		if found != "" {
			return found
		}
	}
	return ""
}

// containerIDOfMounts finds the directory from which Docker and Podman mount
// the container's own /etc/hostname and the like:
// "/var/lib/docker/containers/ID/hostname",
// "/var/lib/containers/storage/overlay-containers/ID/userdata/hostname".
func containerIDOfMounts(text string) string {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[4] != "/etc/hostname" && fields[4] != "/etc/hosts" && fields[4] != "/etc/resolv.conf" {
			continue
		}
		elements := strings.Split(fields[3], "/")
		for i, element := range elements[1:] {
			if strings.HasSuffix(elements[i], "containers") && isContainerID(element) {
				return element
			}
		}
	}
	return ""
}

// The ids that runtimes give containers: 64 hex digits, on AWS Fargate and ECS
// Managed Instances the task's 32 and a number, in Cloud Foundry's Garden a UUID,
// which elsewhere is something else.
var (
	containerIDAtEnd = regexp.MustCompile(`(?:^|[-:.])([0-9a-f]{64}|[0-9a-f]{32}-[0-9]+)$`)
	shortContainerID = regexp.MustCompile(`^[0-9a-f]{12}$`)
	gardenID         = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3,4}(-[0-9a-f]{12})?$`)
)

func isContainerID(text string) bool {
	id := containerIDAtEnd.FindStringSubmatch(text)
	return id != nil && id[1] == text
}

// looksLikeContainerID also takes the short form, which Docker makes a
// container's host name.
func looksLikeContainerID(text string) bool {
	return isContainerID(text) || shortContainerID.MatchString(text)
}

// ecsMetadata are the variables by which ECS tells a container where to ask
// about itself. On Fargate, but not on EC2, the path ends in the container's id.
func ecsMetadata() []string {
	return []string{"ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI"}
}

func containerIDOfECS() (id, name string) {
	for _, name := range ecsMetadata() {
		text := strings.TrimRight(strings.TrimSpace(os.Getenv(name)), "/")
		if id := text[strings.LastIndexByte(text, '/')+1:]; isContainerID(id) {
			return id, name
		}
	}
	return "", ""
}

// inECS reports whether ECS started this process.
func inECS() bool {
	return slices.ContainsFunc(ecsMetadata(), func(name string) bool { return !isBlank(os.Getenv(name)) })
}

// inPod reports whether Kubernetes started this process: it sets this variable
// in every container, whatever the pod asks for.
func inPod() bool { return !isBlank(os.Getenv("KUBERNETES_SERVICE_HOST")) }

// kubernetes resolves the k8s.* attributes. A name that is not Kubernetes's
// alone counts in a pod only: others set NODE_NAME too.
func (l *loader) kubernetes() []Attribute {
	e := &l.env
	var out []Attribute
	add := func(key, name string, v *lineVar, podName string, podVar *lineVar) {
		switch {
		case v.Value != "":
			out = append(out, Attribute{metric.L(key, v.Value), name})
		case podVar.Value != "" && inPod():
			out = append(out, Attribute{metric.L(key, podVar.Value), podName})
		}
	}
	namespace, namespaceName := &e.K8s.NamespaceName, "K8S_NAMESPACE_NAME"
	if namespace.Value == "" {
		namespace, namespaceName = &e.K8s.Namespace, "K8S_NAMESPACE"
	}
	add("k8s.node.name", "K8S_NODE_NAME", &e.K8s.NodeName, "NODE_NAME", &e.NodeName)
	add("k8s.namespace.name", namespaceName, namespace, "POD_NAMESPACE", &e.Pod.Namespace)
	add("k8s.pod.name", "K8S_POD_NAME", &e.K8s.PodName, "POD_NAME", &e.Pod.Name)
	add("k8s.pod.uid", "K8S_POD_UID", &e.K8s.PodUID, "POD_UID", &e.Pod.UID)
	add("k8s.container.name", "K8S_CONTAINER_NAME", &e.K8s.ContainerName, "CONTAINER_NAME", &e.ContainerName)
	return out
}

// attribute returns the attribute of a key; the zero Attribute if there is none.
func attribute(list []Attribute, key string) Attribute {
	for _, a := range list {
		if a.Key == key {
			return a
		}
	}
	return Attribute{}
}

// isOrdinarySpool reports whether dir is the spool of the one agent that most
// hosts have: the package's, where systemd may make the user too.
func isOrdinarySpool(dir string) bool {
	return dir == "" || dir == "/var/lib/"+stateDirName+"/spool" || dir == "/var/lib/private/"+stateDirName+"/spool"
}

// instance tells this agent from others with the same machine id: "" for the
// ordinary one of a host. why says the same in words.
func instance(cfg Config, around surroundings) (id, why string) {
	place := cfg.Spool.Dir
	if cfg.Spool.Mode == "off" && cfg.StateDir != "" {
		place = cfg.StateDir + "/spool"
	}
	if !isOrdinarySpool(place) {
		id, why = "spool="+place, " and the spool directory"
	}
	if !around.contained {
		return id, why
	}
	if cfg.Host.Etc != "" || cfg.Host.Root != "" {
		// It watches the host, and goes on doing so when it is replaced.
		return id + ";container", why + " and being in a container"
	}
	// The image's own machine id is the same in each of its containers.
	pod, source := podIdentity(cfg)
	switch {
	case pod != "":
		return id + ";pod=" + pod, why + " and " + source
	case around.containerID != "":
		return id + ";container=" + around.containerID, why + " and the container's id"
	}
	return id + ";host=" + cmp.Or(cfg.Identity.Hostname, around.uname), why + " and the container's host name"
}

// podIdentity tells a pod from all others: its UID, else its namespace and name;
// "" outside of one, or if the downward API passes neither.
func podIdentity(cfg Config) (id, source string) {
	if uid := attribute(cfg.Identity.Kubernetes, "k8s.pod.uid"); uid.Value != "" {
		return uid.Value, uid.Source
	}
	name := attribute(cfg.Identity.Kubernetes, "k8s.pod.name")
	if name.Value == "" {
		return "", ""
	}
	return attribute(cfg.Identity.Kubernetes, "k8s.namespace.name").Value + "/" + name.Value, name.Source
}
