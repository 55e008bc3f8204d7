package collect

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Uname returns what uname(2) says of the kernel, as labels under the names that
// node_exporter has for them, in its order. It does not block. The node's name is
// that of the agent's own UTS namespace.
func Uname() ([]metric.Label, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	label := func(key string, value []byte) metric.Label { return metric.L(key, unix.ByteSliceToString(value)) }
	return []metric.Label{
		label("sysname", u.Sysname[:]), label("release", u.Release[:]), label("version", u.Version[:]),
		label("machine", u.Machine[:]), label("nodename", u.Nodename[:]), label("domainname", u.Domainname[:]),
	}, nil
}
