package agent

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/spool"
)

// shutdowns is how often each state is shut down in, here; the end-to-end tests
// do the rest with real processes.
const shutdowns = 40

// A shutdown, whatever state delivery is in and whenever it comes, loses no
// tick: each is either with the endpoint or in the spool. It takes the time for
// the last flush, two seconds for the disk at most.
func TestAShutdownLosesNothingInAnyState(t *testing.T) {
	refused := answer(ship.Outcome{Cause: "connection refused"})
	for _, s := range []struct {
		name  string
		phase string     // that some of the shutdowns must have met
		then  func(life) // after some healthy time
	}{
		{"healthy", "healthy", func(life) {}},
		{"slow answers", "healthy", func(l life) { l.endpoint.set(after(3 * time.Second)) }},
		{"down", "down", func(l life) { l.endpoint.set(refused) }},
		{"paused", "paused", func(l life) { l.endpoint.set(answer(ship.Outcome{Verdict: ship.Pause, Cause: "401"})) }},
		{"refusing", "paused", func(l life) { l.endpoint.set(answer(ship.Outcome{Verdict: ship.Reject, Cause: "400"})) }},
		{"ramping", "ramping", func(l life) {
			l.endpoint.set(refused)
			l.sleep(4 * time.Minute)
			l.endpoint.set(nil)
		}},
		{"hanging", "down", func(l life) { l.endpoint.set(hang) }},
		{"slow disk", "down", func(l life) {
			l.endpoint.set(refused)
			l.disk.set(300 * time.Millisecond)
		}},
		{"slow disk and hanging", "down", func(l life) {
			l.endpoint.set(hang)
			l.disk.set(600 * time.Millisecond)
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			met := 0
			for seed := range uint64(shutdowns) {
				synctest.Test(t, func(t *testing.T) {
					l := newLife(t, seed)
					l.during(func() {
						l.sleep(time.Minute)
						s.then(l)
						l.sleep(2 * time.Minute)
						if l.parts.shipper.Stats().Phase == s.phase {
							met++
						}
					})
					l.nothingLost(fmt.Sprintf("%s, seed %d", s.name, seed))
				})
			}
			if met == 0 {
				t.Errorf("no shutdown met delivery while it was %s", s.phase)
			}
		})
	}
}

// A disk that hangs shortly before the shutdown, while a request hangs too, may cost
// what only memory had, but not the time.
func TestAShutdownEndsOnADiskThatHangs(t *testing.T) {
	for seed := range uint64(shutdowns) {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t, seed)
			l.during(func() {
				l.endpoint.set(hang)
				l.sleep(2 * time.Minute)
				l.disk.set(time.Hour)
				l.sleep(10 * time.Second)
			})
			l.disk.set(0) // ends the goroutine that waits for it
			synctest.Wait()
		})
	}
}

// The scheduler ticks on time whatever becomes of its ticks.
func TestNoTickWaitsForDelivery(t *testing.T) {
	for name, then := range map[string]func(life){
		"a backend that hangs": func(l life) { l.endpoint.set(hang) },
		"a disk that hangs": func(l life) {
			l.endpoint.set(answer(ship.Outcome{Cause: "connection refused"}))
			l.disk.set(time.Minute)
		},
		"both": func(l life) { l.endpoint.set(hang); l.disk.set(time.Minute) },
		"a backlog": func(l life) {
			for seq := range uint64(2000) {
				r := spool.Record{ID: spool.ID{Epoch: 1, Seq: seq + 1}, Items: 1, TimeMS: time.Now().UnixMilli(), Payload: make([]byte, 10_000)}
				if err := l.parts.spool.Append(r); err != nil {
					l.t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, 1)
				l.during(func() {
					then(l)
					time.Sleep(10 * time.Minute)
					l.disk.set(0)
				})
				times := l.ticks.times()[1:] // the first is out of step with the others
				last := len(times) - 1       // taken at the shutdown
				if last < 119 {
					t.Errorf("%d ticks in ten minutes", last)
				}
				for i, at := range times[:last] {
					if want := times[0].Add(time.Duration(i) * testInterval); !at.Equal(want) {
						t.Fatalf("tick %d at %s, want %s", i, at, want)
					}
				}
				if n := l.parts.scheduler.Stats().SkippedTicks; n != 0 {
					t.Errorf("%d ticks skipped", n)
				}
			})
		})
	}
}

// during runs the agent for as long as f takes, then shuts it down.
func (l life) during(f func()) {
	l.t.Helper()
	ctx, stop := context.WithCancel(l.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.parts.run(ctx)
	}()
	f()
	stop()
	asked := time.Now()
	<-ended
	if took := time.Since(asked); took > testFlush+diskTimeout {
		l.t.Errorf("the shutdown took %s", took)
	}
}

// nothingLost compares the ticks that were taken with those that were
// delivered or spooled.
func (l life) nothingLost(when string) {
	l.t.Helper()
	got := slices.Concat(l.endpoint.numbers(l.t), l.spooled())
	slices.Sort(got)
	want := make([]int64, len(l.ticks.times()))
	for i := range want {
		want[i] = int64(i + 1)
	}
	if got = slices.Compact(got); !slices.Equal(got, want) {
		l.t.Errorf("%s: of %d ticks only %v are somewhere", when, len(want), got)
	}
}

// sleep lets up to most of the virtual time pass.
func (l life) sleep(most time.Duration) { time.Sleep(time.Duration(l.rng.Int64N(int64(most)))) }
