package agent

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Identity says who this agent is, and how it knows.
type Identity struct {
	// AgentID is never empty, stable over restarts unless AgentIDSource says
	// that it is random, another one for another agent on the host, and does
	// not reveal the machine id.
	AgentID, AgentIDSource string
	// Attributes are the resource attributes: detected ones in a fixed order,
	// then those that only the configuration has, by key.
	Attributes []Attribute
}

// Resource returns the attributes as labels of a batch, in the same order. The
// caller owns the slice.
func (id Identity) Resource() []metric.Label {
	labels := make([]metric.Label, len(id.Attributes))
	for i, a := range id.Attributes {
		labels[i] = a.Label
	}
	return labels
}

// Identify finds out who this agent is from cfg and a few small files of the
// host and of its own /proc. It asks nobody over the network. On a host without
// a machine id the agent id is random; with remember it is kept in cfg.StateDir,
// otherwise nothing is written. warnings are lines for the operator.
func Identify(cfg Config, build Build, remember bool) (id Identity, warnings []string) {
	return identify(cfg, build, remember, lookAround("", cfg.Host.Sys))
}

func identify(cfg Config, build Build, remember bool, around surroundings) (id Identity, warnings []string) {
	host := hostFiles{etc: cmp.Or(cfg.Host.Etc, "/etc"), root: cfg.Host.Root}
	if cfg.Host.Etc == "" {
		host.root = cmp.Or(cfg.Host.Root, "/")
	}
	machineID, machineSource := host.machineID()
	name := hostName(cfg, host, around.uname)
	id.Attributes = merge(detect(cfg, host, name, Attribute{metric.L("host.id", machineID), machineSource}, build, around), cfg.Identity.Attributes)
	warnings = warnOfName(warnings, id.Attributes, name)
	pod, podSource := podIdentity(cfg)
	id.AgentID, id.AgentIDSource = cfg.Identity.AgentID, "HEKA_AGENT_ID"
	switch {
	case id.AgentID != "":
	case machineID != "":
		which, why := instance(cfg, around)
		id.AgentID, id.AgentIDSource = deriveAgentID(machineID, which), "derived from "+machineSource+why
	case pod != "":
		id.AgentID, id.AgentIDSource = derivePodAgentID(cfg, pod), "derived from "+podSource
	default:
		var err error
		if id.AgentID, id.AgentIDSource, err = randomAgentID(cfg.StateDir, remember); err != nil {
			warnings = append(warnings, fmt.Sprintf(
				"HEKA_AGENT_ID: there is no machine id, and a random agent id is not kept (%v); set it, or this host looks like another one after each start", err))
		}
	}
	return id, warnings
}

// warnOfName adds a warning if the detected name is sent, and does not tell this
// host from others.
func warnOfName(warnings []string, sent []Attribute, name Attribute) []string {
	var looks string
	switch {
	case attribute(sent, "host.name") != name || name.Source == "HEKA_HOSTNAME":
		return warnings
	case looksLikeContainerID(name.Value):
		looks = "looks like a container's id"
	case isLocalhost(name.Value):
		looks = "is that of other hosts too"
	default:
		return warnings
	}
	return append(warnings, fmt.Sprintf(
		"HEKA_HOSTNAME: the host name %s (%s) %s; set it, or HOST_ETC to where the host's /etc is mounted, or K8S_NODE_NAME", name.Value, name.Source, looks))
}

// hostName returns the attribute host.name: of what says it the first that is
// not localhost, which images and installers leave in /etc/hostname. In a
// container without HOST_ETC, that file is the container's, so the node's name
// comes before it; outside of Kubernetes nobody sets that.
func hostName(cfg Config, host hostFiles, uname string) Attribute {
	if cfg.Identity.Hostname != "" {
		return Attribute{metric.L("host.name", cfg.Identity.Hostname), "HEKA_HOSTNAME"}
	}
	file := host.hostnameFile()
	node := attribute(cfg.Identity.Kubernetes, "k8s.node.name")
	order := []Attribute{node, file}
	if cfg.Host.Etc != "" {
		order = []Attribute{file, node}
	}
	var name Attribute
	for _, a := range append(order, Attribute{metric.L("", uname), "uname"}) {
		if a.Value != "" && (name.Value == "" || isLocalhost(name.Value) && !isLocalhost(a.Value)) {
			name = a
		}
	}
	return Attribute{metric.L("host.name", name.Value), name.Source}
}

// isLocalhost reports whether name is one that a host has before anybody gives it
// one. "(none)" is the kernel's own.
func isLocalhost(name string) bool {
	first, rest, _ := strings.Cut(strings.ToLower(strings.TrimSuffix(name, ".")), ".")
	return name == "(none)" || slices.Contains([]string{"localhost", "localhost4", "localhost6"}, first) &&
		slices.Contains([]string{"", "localdomain", "localdomain4", "localdomain6", "local"}, rest)
}

// detect lists what the host says, in the order in which it is sent.
func detect(cfg Config, host hostFiles, name, machineID Attribute, build Build, around surroundings) []Attribute {
	description, descriptionSource := host.description()
	cloud := around.cloud
	if a := attribute(cloud, "host.id"); a.Value != "" {
		machineID = a // OpenTelemetry has the cloud's own before the machine id
	}
	found := []Attribute{
		name,
		machineID,
		attribute(cloud, "host.type"),
		{metric.L("host.arch", otelArch(runtime.GOARCH)), "built for it"},
		{metric.L("os.type", runtime.GOOS), "built for it"},
		{metric.L("os.description", description), descriptionSource},
		attribute(cloud, "cloud.provider"),
		attribute(cloud, "cloud.platform"),
		{metric.L("container.id", around.containerID), around.containerSource},
	}
	found = append(found, cfg.Identity.Kubernetes...)
	found = append(found, Attribute{metric.L("heka.version", build.Version), "this build"},
		Attribute{metric.L("heka.config.hash", cfg.Hash), "the variables that are set, secrets and identity aside"})
	if cfg.PythonAgent { // which detected nothing; more would start every series again
		found = []Attribute{name}
	}
	return slices.DeleteFunc(found, func(a Attribute) bool { return a.Value == "" })
}

// merge lets configured attributes replace detected ones in place; HEKA_HOSTNAME,
// which speaks of one attribute alone, is stronger than a list.
func merge(detected, configured []Attribute) []Attribute {
	for _, c := range configured {
		i := slices.IndexFunc(detected, func(d Attribute) bool { return d.Key == c.Key })
		switch {
		case i < 0:
			detected = append(detected, c)
		case detected[i].Source != "HEKA_HOSTNAME":
			detected[i] = c
		}
	}
	return detected
}

// attributes joins the three variables, the strongest first: HEKA_RESOURCE_ATTRIBUTES,
// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
func (l *loader) attributes() []Attribute {
	var joined []Attribute
	add := func(source string, labels ...metric.Label) {
		for _, label := range labels {
			if !slices.ContainsFunc(joined, func(a Attribute) bool { return a.Key == label.Key }) {
				joined = append(joined, Attribute{label, source})
			}
		}
	}
	add("HEKA_RESOURCE_ATTRIBUTES", l.env.Heka.ResourceAttributes.Value...)
	if name := l.env.Otel.ServiceName.Value; name != "" {
		add("OTEL_SERVICE_NAME", metric.L("service.name", name))
	}
	add("OTEL_RESOURCE_ATTRIBUTES", l.env.Otel.ResourceAttributes.Value...)
	slices.SortFunc(joined, func(a, b Attribute) int { return cmp.Compare(a.Key, b.Key) })
	return joined
}

// otelArch translates Go's names to OpenTelemetry's.
func otelArch(arch string) string {
	switch arch {
	case "arm":
		return "arm32"
	case "386":
		return "x86"
	case "ppc64le":
		return "ppc64"
	}
	return arch
}

// hostFiles knows where the watched host's files are.
type hostFiles struct {
	etc string
	// root is "" when only /etc of the host can be seen.
	root string
}

// hostnameFile skips comments and what no attribute can hold.
func (h hostFiles) hostnameFile() Attribute {
	file := filepath.Join(h.etc, "hostname")
	for text := range strings.Lines(readText(file)) {
		if text = strings.TrimSpace(text); text != "" && text[0] != '#' && utf8Line(text) {
			return Attribute{metric.L("host.name", text), file}
		}
	}
	return Attribute{}
}

func (h hostFiles) machineID() (id, source string) {
	files := []string{filepath.Join(h.etc, "machine-id")}
	if h.root != "" {
		files = append(files, filepath.Join(h.root, "var/lib/dbus/machine-id"))
	}
	for _, file := range files {
		id := strings.TrimSpace(readText(file))
		// An image not yet booted holds "uninitialized" or nothing.
		if raw, err := hex.DecodeString(id); err == nil && len(raw) == 16 && strings.Trim(id, "0") != "" {
			return strings.ToLower(id), file
		}
	}
	return "", ""
}

// description is what the distribution calls itself: "Debian GNU/Linux 13 (trixie)".
// As in a shell, of several assignments the last one counts (os-release(5)).
func (h hostFiles) description() (name, source string) {
	files := []string{filepath.Join(h.etc, "os-release")}
	if h.root != "" {
		files = append(files, filepath.Join(h.root, "usr/lib/os-release"))
	}
	for _, file := range files {
		text := readText(file)
		for line := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				name = unquoteShell(value)
			}
		}
		if text != "" {
			return name, file
		}
	}
	return "", ""
}

// unquoteShell returns the value of an assignment of one word, of which a part or
// all may be in quotes. A backslash stands before what is meant literally: any
// character outside of quotes, nothing in single ones, and $, `, " and \ in double
// ones, before others of which it stays.
func unquoteShell(text string) string {
	var out strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == ' ' || c == '\t'):
			return out.String()
		case c == '\\' && quote != '\'' && i+1 < len(text) && (quote == 0 || strings.IndexByte("$`\"\\", text[i+1]) >= 0):
			i++
			out.WriteByte(text[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// readText returns a small file's text, or "" if it cannot be read.
func readText(name string) string {
	content, err := readSmallFile(name)
	if err != nil {
		return ""
	}
	return string(content)
}

// deriveAgentID hashes the machine id under a fixed name, as machine-id(5)
// asks of anything that leaves the host: other programs cannot be matched to it.
// instance is "" for the ordinary agent of a host, whose id never changes.
func deriveAgentID(machineID, instance string) string {
	mac := hmac.New(sha256.New, []byte(machineID))
	if instance == "" {
		mac.Write([]byte("heka-insights-agent/agent-id/1"))
	} else {
		mac.Write([]byte("heka-insights-agent/agent-id/2\x00" + instance))
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// derivePodAgentID is for a pod without a machine id, as FROM scratch has: a
// container that is restarted in its pod has the same id, a replica and another
// container of the pod have not.
func derivePodAgentID(cfg Config, pod string) string {
	container := attribute(cfg.Identity.Kubernetes, "k8s.container.name").Value
	return deriveAgentID("pod "+pod, "container="+container+";spool="+cfg.Spool.Dir)
}

// randomAgentID returns the id kept in dir, or a new one. The error says why
// the id will not be the same next time.
func randomAgentID(dir string, remember bool) (id, source string, err error) {
	fresh := make([]byte, 16)
	_, _ = rand.Read(fresh) // never fails
	id = hex.EncodeToString(fresh)
	if dir == "" {
		return id, "random", fmt.Errorf("no state directory")
	}
	file := filepath.Join(dir, "agent-id")
	kept, err := os.ReadFile(file)
	if text := strings.TrimSpace(string(kept)); err == nil && text != "" {
		if _, f := parseIdentifier(text); f == nil {
			return text, file, nil
		}
	}
	if err != nil && !os.IsNotExist(err) {
		return id, "random", withoutPath(err)
	}
	if !remember {
		return id, "random until the agent runs, then kept in " + file, nil
	}
	if err := writeWhole(file, id+"\n"); err != nil {
		return id, "random", withoutPath(err)
	}
	return id, "random, kept in " + file, nil
}
