package ship

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// phase is where delivery stands; doc.go draws how phases follow each other.
type phase uint8

const (
	healthy phase = iota
	ramping
	down
	paused
)

// String returns the phase's name, as Stats shows it.
func (p phase) String() string {
	return [...]string{"healthy", "ramping", "down", "paused"}[p]
}

// Rules are the times that pace delivery.
type Rules struct {
	// RetryInitial and RetryMax bound the backoff: U(0, min(max, initial·2^n)).
	RetryInitial, RetryMax time.Duration
	// RetryAfterMax bounds what a backend may ask for by Retry-After.
	RetryAfterMax time.Duration
	// BatchInterval is the time between two live batches: the live rate.
	BatchInterval time.Duration
	// DrainMultiplier is how many times the live rate a backlog may drain at.
	DrainMultiplier float64
}

const (
	retryFloor    = 250 * time.Millisecond
	pauseFirst    = time.Minute
	pauseMax      = 15 * time.Minute
	firstDrainMax = 30 * time.Second
	// drainStep is what one acknowledged backlog batch adds to the rate. With
	// larger steps a fleet asks for more than its backend can do before the
	// backend's refusals tell (docs/fleet.md).
	drainStep = 0.1
	// drainShareMin is the share of a batch below which its parts do not follow
	// each other any faster: there, requests cost more than bytes.
	drainShareMin = 1.0 / 16
	// The retry budget: without a token a retry waits as after many failures,
	// so that a backend that fails now and then is not asked twice for each
	// batch (the Finagle and gRPC retry throttling).
	retryTokens = 10
	retryRefill = 0.1
)

// machine decides when requests may start. It is all arithmetic: it sees the
// time and outcomes, and does no I/O, so that a simulation can run it by the
// thousand. Owned by one goroutine.
type machine struct {
	rules Rules
	rng   *rand.Rand

	phase    phase
	since    time.Time // when the first of failures began an outage
	failures int       // requests that failed since the last ack
	until    time.Time // no request before this
	backoff  *backoff.ExponentialBackOff
	pauses   int
	tokens   float64 // of the retry budget

	// fifo: the backlog also carries what is live.
	fifo       bool
	drainAt    time.Time // no backlog batch before this
	multiplier float64   // of the live rate, for the backlog
	// liveRate is how many live batches a batch interval makes; 0 is not known.
	liveRate float64
	// drainFailures counts backlog requests that failed in a row, whatever
	// became of live ones between them.
	drainFailures int
}

func newMachine(rules Rules, rng *rand.Rand, now time.Time) *machine {
	m := &machine{rules: rules, rng: rng, multiplier: 1, tokens: retryTokens}
	m.backoff = backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(rules.RetryInitial),
		backoff.WithMaxInterval(rules.RetryMax),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0), // full jitter is applied after the cap
		backoff.WithMaxElapsedTime(0),      // never give up
	)
	// A fleet that restarts together must not replay its spools together.
	m.drainAt = now.Add(m.uniform(0, min(firstDrainMax, 2*rules.BatchInterval)))
	return m
}

// uniform draws from [low, high).
func (m *machine) uniform(low, high time.Duration) time.Duration {
	return low + time.Duration(m.rng.Float64()*float64(high-low))
}

// isDown reports whether the next request is a probe.
func (m *machine) isDown() bool { return m.phase == down || m.phase == paused }

// mayDrain reports whether a backlog batch may be sent now.
func (m *machine) mayDrain(now time.Time) bool { return !now.Before(m.drainAt) }

// sentBacklog notes that a backlog batch is on its way, or a share of one.
func (m *machine) sentBacklog(now time.Time, share float64) {
	rate := m.multiplier
	if m.fifo {
		rate++
	}
	rate *= max(m.liveRate, 1) / max(share, drainShareMin)
	gap := time.Duration(float64(m.rules.BatchInterval) / rate)
	m.drainAt = now.Add(m.uniform(gap*3/4, gap*5/4))
}

// acked moves on after an acknowledged batch, which may be of the backlog.
// It reports whether that ended an outage.
func (m *machine) acked(now time.Time, backlog bool) (recovered bool) {
	recovered = m.failures > 0
	m.failures = 0
	m.tokens = min(m.tokens+retryRefill, retryTokens)
	if backlog {
		m.drainFailures = 0
	}
	m.answered(now)
	if backlog && !recovered {
		m.multiplier = min(m.multiplier+drainStep, m.rules.DrainMultiplier)
	}
	return recovered
}

// answered ends the waits of an outage, if there is one: the backend answers,
// whatever it thinks of the batch.
func (m *machine) answered(now time.Time) {
	m.until = now
	if !m.isDown() {
		return
	}
	m.phase = ramping
	m.drainAt = now.Add(m.drainWait())
	m.backoff.Reset()
	m.pauses = 0
}

// drainWait spreads the first backlog request after an outage over a batch
// interval. When it is that request which fails, while live ones pass, each
// further try waits twice as long.
func (m *machine) drainWait() time.Duration {
	if m.drainFailures < 2 || m.fifo {
		return m.uniform(0, m.rules.BatchInterval)
	}
	wait := min(m.rules.BatchInterval<<min(m.drainFailures, 10), pauseMax)
	return m.uniform(wait/2, wait)
}

// backlogEmpty ends ramping: there is no backlog.
func (m *machine) backlogEmpty() {
	if m.phase == ramping {
		m.phase, m.multiplier = healthy, 1
	}
}

// failed moves on after a request that was not acknowledged. It reports
// whether that began an outage.
func (m *machine) failed(now time.Time, o Outcome, backlog bool) (began bool) {
	if backlog {
		m.drainFailures++
	}
	if began = m.failures == 0; began {
		m.since = now
	}
	m.failures++
	m.tokens = max(m.tokens-1, 0)
	if m.multiplier = m.multiplier / 2; m.multiplier < 1 || !o.Overload {
		m.multiplier = 1
	}
	if o.Verdict == Retry {
		m.phase = down
		m.until = now.Add(m.retryWait(o.After))
		return began
	}
	m.phase = paused
	wait := pauseMax
	if m.pauses < 4 { // 1, 2, 4, 8 minutes
		wait = pauseFirst << m.pauses
	}
	m.pauses++
	m.until = now.Add(min(m.uniform(wait, wait*3/2), pauseMax))
	return began
}

// retryWait is the longer of full-jitter backoff (Brooker, "Exponential Backoff
// And Jitter", AWS Architecture Blog, 2015) and what the backend asked for, with jitter on top: it asked every agent for the same.
func (m *machine) retryWait(after time.Duration) time.Duration {
	most := m.backoff.NextBackOff()
	if m.tokens < 1 {
		most = m.rules.RetryMax
	}
	wait := max(m.uniform(0, most), retryFloor)
	if after > 0 {
		after = min(after, m.rules.RetryAfterMax)
		wait = max(wait, m.uniform(after, after*3/2))
	}
	return wait
}

// retryNow lifts a wait: something that it waited for has changed.
func (m *machine) retryNow(now time.Time) { m.until = now }
