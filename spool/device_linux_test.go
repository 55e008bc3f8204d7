package spool_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// BenchmarkDevice says how many bytes are written for a batch: ioB as the
// kernel charges them to this process (pages made dirty), devB as the block
// device counts sectors (journal included; so are other processes, so run it
// alone). Batches come a second or more apart, so that in interval mode each
// has an fsync of its own; 20 a second are a backlog. ackB is what reading and
// acknowledging adds on the device. The last one is what the spool is not: a
// file for each batch.
func BenchmarkDevice(b *testing.B) {
	for _, mode := range benchModes {
		for _, perSecond := range []int{1, 20} {
			b.Run(fmt.Sprintf("%s/%d", mode, perSecond), func(b *testing.B) {
				s := openSpool(b, spool.Config{Dir: b.TempDir(), MaxBytes: 1 << 30, Fsync: mode})
				measureDevice(b, func(n int) {
					must(b, s.Append(record(uint64(n), benchSize)))
					if n%perSecond == 0 {
						must(b, s.Sync(background)) // what Run does each second
					}
				}, func() {
					drain(b, s)
					must(b, s.Sync(background))
				})
			})
		}
	}
	b.Run("file each", func(b *testing.B) {
		dir := b.TempDir()
		r := record(1, benchSize)
		n := 0
		measureDevice(b, func(int) {
			must(b, writeFileDurably(dir, strconv.Itoa(n), r.Payload))
			n++
		}, func() {
			for i := range n {
				path := filepath.Join(dir, strconv.Itoa(i))
				_, err := os.ReadFile(path)
				must(b, err)
				must(b, os.Remove(path))
			}
		})
	})
}

// writeFileDurably does what a careful queue of files does for each batch.
func writeFileDurably(dir, name string, payload []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(payload); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// measureDevice runs append for each batch and drain after all, and reports
// what both wrote.
func measureDevice(b *testing.B, appendOne func(n int), drain func()) {
	dir := b.TempDir()
	must(b, syncFS(dir))
	io0, dev0 := charged(b), sectors(b, dir)
	n := 0
	for b.Loop() {
		appendOne(n)
		n++
	}
	must(b, syncFS(dir))
	io1, dev1 := charged(b), sectors(b, dir)
	drain()
	must(b, syncFS(dir))
	dev2 := sectors(b, dir)
	report := func(bytes int64, unit string) { b.ReportMetric(float64(bytes)/float64(n), unit) }
	report(io1-io0, "ioB/batch")
	if dev0 < 0 {
		b.Logf("%s is on no block device of its own (tmpfs or overlay, say): devB cannot be told", dir)
		return
	}
	report(dev1-dev0, "devB/batch")
	report(dev2-dev1, "ackB/batch")
	b.ReportMetric(float64(dev1-dev0)/float64(n*benchSize), "dev/payload")
}

// syncFS writes back all that is dirty on the file system of dir.
func syncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// charged is what the kernel says this process caused to be written. Pages
// that only tmpfs holds are not in it.
func charged(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	must(b, err)
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			must(b, err)
			return n
		}
	}
	b.Skip("/proc/self/io has no write_bytes")
	return 0
}

// sectors is how many bytes the device below dir has been written, or -1 if
// that cannot be told.
func sectors(b *testing.B, dir string) int64 {
	b.Helper()
	var st unix.Stat_t
	must(b, unix.Stat(dir, &st))
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 7 {
		return -1
	}
	n, err := strconv.ParseInt(fields[6], 10, 64)
	must(b, err)
	return n * 512
}
