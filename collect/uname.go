package collect

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Uname returns the result of uname(2) as labels, with the names and in the
// order that node_exporter uses. It does not block. The node name is that of
// the agent's own UTS namespace.
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
