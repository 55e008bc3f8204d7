package spool

import (
	"fmt"
	"runtime"
	"testing"
)

// recordMemory bounds what a waiting record takes in memory, whatever it holds.
const recordMemory = 64

// heap is what is alive.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools held
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestFootprint bounds the memory of a backlog: one that was appended by this
// process and is durable, and the same one opened again.
func TestFootprint(t *testing.T) {
	for _, size := range []int{8, 500, 2000, 5000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), MaxBytes: 32 << 20, Fsync: FsyncNever}
			n := min(uint64(cfg.MaxBytes/2)/uint64(size+headerBytes), 50_000)
			idle := heap()
			s := open(cfg, osFS(cfg.Dir))
			appendAll(t, s, 1, n, size)
			must(t, s.Sync(background))
			checkFootprint(t, "appended", heap()-idle, n)
			must(t, s.Close(background))
			idle = heap()
			s = open(cfg, osFS(cfg.Dir))
			checkFootprint(t, "opened", heap()-idle, n)
			if st := checkBalance(t, s); st.Records != int64(n) {
				t.Fatalf("%d of %d records", st.Records, n)
			}
			must(t, s.Close(background))
		})
	}
}

func checkFootprint(t *testing.T, what string, bytes int64, records uint64) {
	t.Helper()
	t.Logf("%s: %d B a record", what, bytes/int64(records))
	if bytes > recordMemory*int64(records) {
		t.Errorf("%d records, %s, take %d bytes: %d each, want at most %d", records, what, bytes, bytes/int64(records), recordMemory)
	}
}
