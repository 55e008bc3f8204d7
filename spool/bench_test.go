package spool_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/heka-insights/heka-insights-agent/spool"
)

const benchSize = 5000

func BenchmarkAppend(b *testing.B) {
	for _, mode := range []spool.Fsync{spool.FsyncNever, spool.FsyncInterval, spool.FsyncAlways} {
		b.Run(mode.String(), func(b *testing.B) {
			s := openSpool(b, spool.Config{Dir: b.TempDir(), MaxBytes: 1 << 30, Fsync: mode, MinFree: 1})
			r := record(1, benchSize)
			b.SetBytes(benchSize)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Append(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill writes records of benchSize until total bytes are spooled.
func fill(b *testing.B, dir string, total int) {
	b.Helper()
	s := spool.Open(spool.Config{Dir: dir, MaxBytes: 512 << 20, Fsync: spool.FsyncNever})
	for seq := range uint64(total / benchSize) {
		must(b, s.Append(record(seq, benchSize)))
	}
	must(b, s.Close(background))
}

// BenchmarkDrain reads and verifies each record and acks it.
func BenchmarkDrain(b *testing.B) {
	dir := b.TempDir()
	b.SetBytes(benchSize)
	for n := 0; n < b.N; {
		b.StopTimer()
		fill(b, dir, 64<<20)
		s := openSpool(b, spool.Config{Dir: dir, MaxBytes: 512 << 20, Fsync: spool.FsyncNever})
		b.StartTimer()
		for ; n < b.N; n++ {
			r, err := s.Oldest()
			if errors.Is(err, spool.ErrEmpty) {
				break
			}
			s.Ack(r.Epoch, r.Seq)
		}
		b.StopTimer()
		must(b, s.Close(background))
		b.StartTimer()
	}
}

// BenchmarkOpen opens a full spool of the default size.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 255<<20)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := spool.Open(spool.Config{Dir: dir, MaxBytes: 512 << 20})
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(s.Stats().Records), "B/record")
		must(b, s.Close(background))
	}
}
