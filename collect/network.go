package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/shirou/gopsutil/v4/net"
)

// DefaultNetworkExclude matches interfaces that do not lead outside the host:
// loopback, and the links of containers and virtual machines. These come and go
// by the hundred, and their outside traffic is counted again on the interface
// that carries it. Bonds, VLANs, tunnels and Wi-Fi are not matched.
//
// Links of pods are named after a hash: eni… on EKS, azv… on AKS, gke… on GKE,
// 15 hexadecimal digits with OVN. Proxmox puts fwbr, fwpr and fwln before the
// guest's number.
const DefaultNetworkExclude = `^(lo|veth.*|docker\d+|docker_gwbridge|br-[0-9a-f]{12}|cni\d+|cali.*|cilium.*|lxc.*|lxdbr\d+|flannel.*|podman\d+|virbr\d+.*|vnet\d+|tap.*|kube-.*|nodelocaldns|dummy\d+|ifb\d+|` +
	`(eni|azv|gke)[0-9a-f]{8,}|[0-9a-f]{15}|fw(br|pr|ln)\d+[ip]\d+)$`

var (
	networkIO = metric.Desc{
		Name: "system.network.io", Unit: "By", Kind: metric.Counter, Labels: []string{"device", "direction"},
		Help: "Bytes received and transmitted by the interface.", Source: "/proc/net/dev",
	}
	networkPackets = metric.Desc{
		Name: "system.network.packets", Unit: "{packets}", Kind: metric.Counter, Labels: []string{"device", "direction"},
		Help: "Packets received and transmitted.", Source: "/proc/net/dev",
	}
	networkErrors = metric.Desc{
		Name: "system.network.errors", Unit: "{errors}", Kind: metric.Counter, Labels: []string{"device", "direction"},
		Help: "Packets that could not be received or transmitted for an error.", Source: "/proc/net/dev",
	}
	networkDropped = metric.Desc{
		Name: "system.network.dropped", Unit: "{packets}", Kind: metric.Counter, Labels: []string{"device", "direction"},
		Help: "Packets dropped, mostly for lack of room.", Source: "/proc/net/dev",
	}
	networkConnections = metric.Desc{
		Name: "system.network.connections", Unit: "{connections}", Kind: metric.UpDown, Detailed: true, Labels: []string{"protocol", "state"},
		Help: "Sockets by state, from the kernel's own sums. IN_USE is every TCP socket but those in TIME_WAIT, listening ones too, or every UDP socket; " +
			"ESTABLISHED (which includes CLOSE_WAIT) counts IPv4 and IPv6 together, as do TIME_WAIT and ORPHAN (closed by the program, not yet by the peer).",
		Source: "/proc/net/sockstat, sockstat6, snmp",
	}
)

func networkDescs() []*metric.Desc {
	return []*metric.Desc{&networkIO, &networkPackets, &networkErrors, &networkDropped, &networkConnections}
}

type networkCollector struct {
	cfg     Config
	virtual *regexp.Regexp
	file    reader
}

func newNetwork(cfg Config) Collector {
	return &networkCollector{cfg: cfg, virtual: regexp.MustCompile(DefaultNetworkExclude)}
}

// Name implements Collector.
func (*networkCollector) Name() string { return "network" }

// Collect adds the selected interfaces and, with detailed metrics, the socket
// counts.
func (c *networkCollector) Collect(ctx context.Context, s *metric.Snapshot) error {
	nics, err := net.IOCountersByFileWithContext(ctx, true, netProcPath(ctx, "dev"))
	if err != nil {
		err = fmt.Errorf("read interfaces: %w", err) // interfaces before a bad line still count
	}
	for i := range nics {
		if c.cfg.Network.Match(nics[i].Name, !c.virtual.MatchString(nics[i].Name)) {
			emitInterface(s, &nics[i])
		}
	}
	if c.cfg.Detailed {
		err = errors.Join(err, c.connections(ctx, s))
	}
	return err
}

func emitInterface(s *metric.Snapshot, n *net.IOCountersStat) {
	device := metric.L("device", n.Name)
	receive, transmit := metric.L("direction", "receive"), metric.L("direction", "transmit")
	s.Uint(&networkIO, n.BytesRecv, device, receive)
	s.Uint(&networkIO, n.BytesSent, device, transmit)
	s.Uint(&networkPackets, n.PacketsRecv, device, receive)
	s.Uint(&networkPackets, n.PacketsSent, device, transmit)
	s.Uint(&networkErrors, n.Errin, device, receive)
	s.Uint(&networkErrors, n.Errout, device, transmit)
	s.Uint(&networkDropped, n.Dropin, device, receive)
	s.Uint(&networkDropped, n.Dropout, device, transmit)
}

// socketCount is one number of a sockstat file and the labels it is sent with.
type socketCount struct{ file, line, field, protocol, state string }

// socketCounts are the readings of networkConnections.
var socketCounts = []socketCount{
	{"sockstat", "TCP:", "inuse", "tcp", "IN_USE"},
	{"sockstat", "TCP:", "orphan", "tcp", "ORPHAN"},
	{"sockstat", "TCP:", "tw", "tcp", "TIME_WAIT"},
	{"sockstat", "UDP:", "inuse", "udp", "IN_USE"},
	{"sockstat6", "TCP6:", "inuse", "tcp6", "IN_USE"},
	{"sockstat6", "UDP6:", "inuse", "udp6", "IN_USE"},
}

func (c *networkCollector) connections(ctx context.Context, s *metric.Snapshot) error {
	var text []byte
	var err error
	file := ""
	for _, count := range socketCounts {
		if count.file != file {
			file = count.file
			if text, err = c.file.read(netProcPath(ctx, file)); errors.Is(err, fs.ErrNotExist) {
				continue // no IPv6
			} else if err != nil {
				return fmt.Errorf("read sockets: %w", err)
			}
		}
		if v, ok := sockstatField(text, count.line, count.field); ok {
			s.Int(&networkConnections, v, metric.L("protocol", count.protocol), metric.L("state", count.state))
		}
	}
	text, err = c.file.read(netProcPath(ctx, "snmp"))
	if err != nil {
		return fmt.Errorf("read sockets: %w", err)
	}
	if v, ok := snmpField(text, "Tcp:", "CurrEstab"); ok {
		s.Int(&networkConnections, v, metric.L("protocol", "tcp"), metric.L("state", "ESTABLISHED"))
	}
	return nil
}

// sockstatField returns the number after field on the line that starts with
// prefix: "TCP: inuse 3 orphan 0".
func sockstatField(text []byte, prefix, field string) (int64, bool) {
	for line := range bytes.Lines(text) {
		words := bytes.Fields(line)
		if len(words) == 0 || string(words[0]) != prefix {
			continue
		}
		for i := 1; i+1 < len(words); i += 2 {
			if string(words[i]) == field {
				v, err := strconv.ParseUint(string(words[i+1]), 10, 63)
				return int64(v), err == nil
			}
		}
	}
	return 0, false
}

// snmpField returns a number from /proc/net/snmp, where each prefix has a line
// of names followed by a line of values.
func snmpField(text []byte, prefix, field string) (int64, bool) {
	var names [][]byte
	for line := range bytes.Lines(text) {
		words := bytes.Fields(line)
		switch {
		case len(words) == 0 || string(words[0]) != prefix:
		case names == nil:
			names = words
		default:
			for i := range min(len(names), len(words)) {
				if string(names[i]) == field {
					v, err := strconv.ParseUint(string(words[i]), 10, 63)
					return int64(v), err == nil
				}
			}
			return 0, false
		}
	}
	return 0, false
}
