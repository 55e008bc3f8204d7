package ship

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

func rules() Rules {
	return Rules{
		RetryInitial: time.Second, RetryMax: time.Minute, RetryAfterMax: 15 * time.Minute,
		BatchInterval: 15 * time.Second, DrainMultiplier: 4,
	}
}

func newTestMachine(seed uint64) *machine {
	return newMachine(rules(), rand.New(rand.NewPCG(seed, 0)), time.Unix(0, 0))
}

// Full jitter: every wait lies in [floor, min(max, initial·2^n)], and over
// many machines the waits fill that range instead of clustering.
func TestBackoffIsFullJitterAfterTheCap(t *testing.T) {
	now := time.Unix(0, 0)
	for n := range 12 {
		most := min(time.Minute, time.Second<<n)
		var low, high int
		for seed := range uint64(400) {
			m := newTestMachine(seed)
			for range n + 1 {
				m.failed(now, Outcome{}, false)
			}
			wait := m.until.Sub(now)
			if wait < retryFloor || wait > most {
				t.Fatalf("attempt %d waits %v, want %v to %v", n, wait, retryFloor, most)
			}
			if wait < most/2 {
				low++
			} else {
				high++
			}
		}
		if low < 120 || high < 120 {
			t.Errorf("attempt %d: %d waits below half of %v and %d above", n, low, most, high)
		}
	}
}

func TestBackoffStartsAnewAfterAnAck(t *testing.T) {
	now := time.Unix(0, 0)
	for seed := range uint64(20) {
		m := newTestMachine(seed)
		for range retryTokens - 2 {
			m.failed(now, Outcome{}, false)
		}
		if !m.acked(now, false) || m.phase != ramping {
			t.Errorf("an ack while down: phase %v, want ramping", m.phase)
		}
		m.failed(now, Outcome{}, false)
		if wait := m.until.Sub(now); wait > time.Second {
			t.Errorf("the first wait of the next outage is %v, want at most 1s", wait)
		}
	}
}

// A backend that fails every second request is not asked twice for each batch:
// once the retry budget is spent, retries wait as long as in an outage.
func TestRetryBudget(t *testing.T) {
	now := time.Unix(0, 0)
	m := newTestMachine(1)
	waits := func(rounds int) (total time.Duration) {
		for range rounds {
			m.failed(now, Outcome{}, false)
			total += m.until.Sub(now)
			m.acked(now, false)
		}
		return total
	}
	if total := waits(retryTokens - 1); total > (retryTokens-1)*time.Second {
		t.Errorf("%v of waits with tokens left, want at most a second each", total)
	}
	waits(5)
	if total := waits(100); total < 100*m.rules.RetryMax/4 {
		t.Errorf("%v of waits without a token, want about half of %v each", total, m.rules.RetryMax)
	}
	for range 100 {
		m.acked(now, false)
	}
	if total := waits(retryTokens - 1); total > (retryTokens-1)*time.Second {
		t.Errorf("%v of waits with the budget filled again, want at most a second each", total)
	}
}

func TestRetryAfterIsClampedAndJittered(t *testing.T) {
	now := time.Unix(0, 0)
	date := func(d time.Duration) http.Header {
		// The server's clock is a year ahead; only the difference counts.
		there := now.AddDate(1, 0, 0)
		return http.Header{"Date": {there.Format(http.TimeFormat)}, "Retry-After": {there.Add(d).Format(http.TimeFormat)}}
	}
	seconds := func(s string) http.Header { return http.Header{"Retry-After": {s}} }
	cases := []struct {
		name       string
		header     http.Header
		least, max time.Duration
	}{
		{"none", http.Header{}, retryFloor, time.Second},
		{"0", seconds("0"), retryFloor, time.Second},
		{"-1", seconds("-1"), retryFloor, time.Second},
		{"5", seconds(" 5 "), 5 * time.Second, 7500 * time.Millisecond},
		{"1e9 s", seconds("1000000000"), 15 * time.Minute, 22*time.Minute + 30*time.Second},
		{"more than an int64 of ns", seconds("9223372036854775807"), 15 * time.Minute, 22*time.Minute + 30*time.Second},
		{"future date", date(time.Minute), time.Minute, 90 * time.Second},
		{"past date", date(-time.Hour), retryFloor, time.Second},
		{"date without Date", http.Header{"Retry-After": {now.AddDate(5, 0, 0).Format(http.TimeFormat)}}, retryFloor, time.Second},
		{"garbage", seconds("soon"), retryFloor, time.Second},
	}
	for _, c := range cases {
		waits := make(map[time.Duration]bool)
		for seed := range uint64(50) {
			m := newTestMachine(seed)
			m.failed(now, outcomeOf(answer{status: 503, header: c.header}), false)
			if wait := m.until.Sub(now); wait < c.least || wait > c.max {
				t.Errorf("%s: waits %v, want %v to %v", c.name, wait, c.least, c.max)
			}
			waits[m.until.Sub(now)] = true
		}
		if len(waits) < 20 {
			t.Errorf("%s: 50 agents wait %d different times", c.name, len(waits))
		}
	}
}

func TestPauseWaitsAMinuteThenLonger(t *testing.T) {
	now := time.Unix(0, 0)
	m := newTestMachine(1)
	for n := range 10 {
		m.failed(now, Outcome{Verdict: Pause}, false)
		wait := m.until.Sub(now)
		if wait < time.Minute || wait > 15*time.Minute {
			t.Errorf("pause %d waits %v, want 1 to 15 minutes", n, wait)
		}
		if n > 5 && wait < 15*time.Minute {
			t.Errorf("pause %d waits %v, want the cap", n, wait)
		}
	}
}

func TestDrainRateRisesAndIsHalvedOnOverload(t *testing.T) {
	now := time.Unix(0, 0)
	m := newTestMachine(1)
	m.failed(now, Outcome{}, false)
	m.acked(now, false)
	gap := func() time.Duration {
		var sum time.Duration
		for range 1000 {
			m.sentBacklog(now, 1)
			sum += m.drainAt.Sub(now)
		}
		return (sum / 1000).Round(time.Second)
	}
	if got := gap(); got != 15*time.Second {
		t.Errorf("the first gap is %v, want the batch interval", got)
	}
	for range 40 {
		m.acked(now, true)
	}
	if got := gap(); got != 4*time.Second {
		t.Errorf("the gap falls to %v, want a quarter of the batch interval", got)
	}
	m.failed(now, Outcome{Overload: true}, false)
	if got := gap(); got != 8*time.Second {
		t.Errorf("the gap after an overload is %v, want twice as long", got)
	}
}

func TestAFleetsFirstReplaysAreSpread(t *testing.T) {
	now := time.Unix(0, 0)
	var buckets [3]int
	for seed := range uint64(300) {
		wait := newTestMachine(seed).drainAt.Sub(now)
		if wait < 0 || wait >= 30*time.Second {
			t.Fatalf("the first replay waits %v, want 0 to 30s", wait)
		}
		buckets[wait/(10*time.Second)]++
	}
	for i, n := range buckets {
		if n < 60 {
			t.Errorf("%d of 300 first replays fall in third %d", n, i)
		}
	}
}

// Parts follow each other as much faster as they are smaller, up to a bound.
func TestPartsArePacedByTheirSize(t *testing.T) {
	now := time.Unix(0, 0)
	for share, faster := range map[float64]time.Duration{1: 1, 0.5: 2, 1.0 / 16: 16, 1e-3: 16, 1e-6: 16} {
		m := newTestMachine(1)
		m.sentBacklog(now, share)
		gap := m.rules.BatchInterval / faster
		if wait := m.drainAt.Sub(now); wait < gap*3/4 || wait > gap*5/4 {
			t.Errorf("the next after a share of %v waits %v, want about %v", share, wait, gap)
		}
	}
}
