package collect

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// deviceIO holds the bytes that a group read from and wrote to one device.
type deviceIO struct {
	name        string
	read, write uint64
}

func (c *containerCollector) addDisk(s *metric.Snapshot) error {
	var text []byte
	var err error
	switch {
	case c.groups.blkio.found():
		text, err = c.read(c.groups.blkio.path("blkio.throttle.io_service_bytes_recursive"))
		if text == nil && err == nil {
			text, err = c.read(c.groups.blkio.path("blkio.throttle.io_service_bytes"))
		}
		c.parseBlkio(text)
	case c.groups.unified.found():
		text, err = c.read(c.groups.unified.path("io.stat"))
		c.parseIOStat(text)
	default:
		return nil
	}
	for i := range c.io {
		d := &c.io[i]
		device := metric.L("device", d.name)
		s.Uint(&containerDiskIO, d.read, device, metric.L("direction", "read"))
		s.Uint(&containerDiskIO, d.write, device, metric.L("direction", "write"))
	}
	return err
}

// parseIOStat parses version 2: "8:0 rbytes=1 wbytes=2 rios=3 …". Kernels
// before 6.2 may omit the newline after a device without values, so that the
// next device follows on the same line.
func (c *containerCollector) parseIOStat(text []byte) {
	c.resetIO()
	name, known := "", false
	for word := range bytes.FieldsSeq(text) {
		key, value, isField := bytes.Cut(word, []byte("="))
		switch {
		case !isField && bytes.IndexByte(word, ':') > 0:
			name, known = c.devices.name(word)
		case !isField || !known:
		case string(key) == "rbytes", string(key) == "wbytes":
			if v, ok := parseUint(value); ok {
				c.addIO(name, string(key) == "rbytes", v)
			}
		}
	}
}

// parseBlkio parses version 1: "8:0 Read 1", "8:0 Write 2". It skips other
// operations, which count the same bytes in other ways.
func (c *containerCollector) parseBlkio(text []byte) {
	c.resetIO()
	for line := range bytes.Lines(text) {
		number, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		operation, value, _ := bytes.Cut(rest, []byte(" "))
		if string(operation) != "Read" && string(operation) != "Write" {
			continue
		}
		name, known := c.devices.name(number)
		if v, ok := parseUint(value); ok && known {
			c.addIO(name, string(operation) == "Read", v)
		}
	}
}

func (c *containerCollector) resetIO() {
	c.io = c.io[:0]
	clear(c.ioIndex)
}

// addIO adds to the totals of a device. A device may be listed twice.
func (c *containerCollector) addIO(name string, read bool, bytes uint64) {
	i, there := c.ioIndex[name]
	if !there {
		i = len(c.io)
		c.ioIndex[name] = i
		c.io = append(c.io, deviceIO{name: name})
	}
	d := &c.io[i]
	if read {
		d.read += bytes
	} else {
		d.write += bytes
	}
}

// deviceNames maps the numbers of block devices to names.
type deviceNames struct {
	root  string // prepended to /sys
	names map[string]string
}

// forget drops all names, because a number may be assigned to another device.
func (n *deviceNames) forget() { n.names = make(map[string]string) }

// name returns the kernel's name of a device number, such as "sda" for "8:0",
// or the number itself if the device has no name. ok is false if number is not
// a device number.
func (n *deviceNames) name(number []byte) (name string, ok bool) {
	if name, ok = n.names[string(number)]; ok {
		return name, true
	}
	major, minor, found := bytes.Cut(number, []byte(":"))
	_, okMajor := parseUint(major)
	_, okMinor := parseUint(minor)
	if !found || !okMajor || !okMinor || len(number) > 20 {
		return "", false
	}
	name = string(number)
	if target, err := os.Readlink(n.root + "/sys/dev/block/" + name); err == nil {
		name = deviceName(filepath.Base(target))
	}
	n.names[string(number)] = name
	return name, true
}
