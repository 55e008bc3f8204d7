package spool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// TestTakeOver has a second spool keep nothing until the first is gone.
func TestTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		first := openSpool(t, spool.Config{Dir: dir})
		must(t, first.Append(record(1, 10)))
		var told []error
		second := openSpool(t, spool.Config{Dir: dir, Notify: func(err error) { told = append(told, err) }})
		ctx, stop := context.WithCancel(background)
		go func() { _ = second.Run(ctx) }()
		for range 100 {
			time.Sleep(time.Second)
			if err := second.Append(record(2, 10)); !errors.Is(err, spool.ErrUnavailable) {
				t.Fatalf("Append beside another process: %v", err)
			}
			if _, err := second.Oldest(0, nil); !errors.Is(err, spool.ErrUnavailable) {
				t.Fatalf("Oldest beside another process: %v", err)
			}
		}
		must(t, first.Append(record(3, 10)))
		must(t, first.Close(background))
		time.Sleep(61 * time.Second)
		must(t, second.Append(record(4, 10)))
		if got := drain(t, second); !slices.Equal(got, []uint64{1, 3, 4}) {
			t.Errorf("read %v", got)
		}
		stop()
		synctest.Wait()
		if len(told) != 2 || told[0] == nil || told[1] != nil {
			t.Errorf("Notify was told %v", told)
		}
	})
}

// TestClosed finds the spool unavailable, and changes nothing.
func TestClosed(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, spool.Config{Dir: dir})
	must(t, s.Append(record(1, 10)))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := s.Close(background); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, oldest := s.Oldest(0, nil)
	for what, err := range map[string]error{
		"Append":   s.Append(record(2, 10)),
		"Oldest":   oldest,
		"MakeRoom": s.MakeRoom(),
		"Sync":     s.Sync(background),
	} {
		if !errors.Is(err, spool.ErrUnavailable) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	if s.Ack(named(3, 1), 0) {
		t.Error("acked after Close")
	}
	if got := drain(t, openSpool(t, spool.Config{Dir: dir})); !slices.Equal(got, []uint64{1}) {
		t.Errorf("read %v", got)
	}
}

// TestUnusableDirectory starts anyway, says why, and goes on by itself.
func TestUnusableDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	must(t, os.WriteFile(dir, nil, 0o600))
	s := openSpool(t, spool.Config{Dir: dir})
	if err := s.Append(record(1, 10)); !errors.Is(err, spool.ErrUnavailable) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Append to a directory that is a file: %v", err)
	}
	if st := balanced(t, s); st.Cause == nil {
		t.Error("no cause for an unusable directory")
	}
	must(t, os.Remove(dir))
	must(t, s.MakeRoom())
	must(t, s.Append(record(1, 10)))
}
