package spool_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// benchSize is a batch as the agent makes them.
const benchSize = 5000

var benchModes = []spool.Fsync{spool.FsyncNever, spool.FsyncInterval, spool.FsyncAlways}

// running opens a spool with Run beside it, as in production.
func running(b *testing.B, cfg spool.Config) *spool.Spool {
	b.Helper()
	s := openSpool(b, cfg)
	ctx, stop := context.WithCancel(background)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() { stop(); must(b, <-done) })
	return s
}

// BenchmarkAppend appends, in each mode, records of each size. MinFree is not
// 0, so that the guard's system call counts.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range benchModes {
		for _, size := range []int{500, benchSize, 50_000, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%d", mode, size), func(b *testing.B) {
				s := running(b, spool.Config{Dir: b.TempDir(), MaxBytes: 4 << 30, Fsync: mode, MinFree: 1})
				r := record(1, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					must(b, s.Append(r))
				}
			})
		}
	}
}

// fill writes records until total bytes are spooled.
func fill(b *testing.B, dir string, total int64, size int) {
	b.Helper()
	s := spool.Open(spool.Config{Dir: dir, MaxBytes: 512 << 20, Fsync: spool.FsyncNever})
	for seq := uint64(0); s.Stats().DiskBytes < total; seq++ {
		must(b, s.Append(record(seq, size)))
	}
	must(b, s.Close(background))
}

// BenchmarkDrain reads and verifies each record and acks it.
func BenchmarkDrain(b *testing.B) {
	for _, size := range []int{500, benchSize, 50_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dir := b.TempDir()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for n := 0; n < b.N; {
				b.StopTimer()
				fill(b, dir, 60<<20, size)
				s := running(b, spool.Config{Dir: dir})
				b.StartTimer()
				for ; n < b.N; n++ {
					r, err := s.Oldest(0, nil)
					if errors.Is(err, spool.ErrEmpty) {
						break
					}
					must(b, err)
					s.Ack(r.ID, 0)
				}
				b.StopTimer()
				drain(b, s)
				must(b, s.Close(background))
				b.StartTimer()
			}
		})
	}
}

// BenchmarkOpen opens a full spool of the default size, and says what a
// waiting record takes in memory.
func BenchmarkOpen(b *testing.B) {
	const full = 256 << 20
	for _, size := range []int{2000, benchSize} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dir := b.TempDir()
			fill(b, dir, full-1<<20, size)
			var before, after runtime.MemStats
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.StartTimer()
				s := spool.Open(spool.Config{Dir: dir, MaxBytes: full})
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(s.Stats().Records), "B/record")
				must(b, s.Close(background))
				b.StartTimer()
			}
		})
	}
}
