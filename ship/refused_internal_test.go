package ship

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A backend that contradicts itself was not to be believed for an hour: what it
// had condemned since then is sent again at once, and what it had condemned before
// then is not.
func TestRefusedSeriesAreReleasedByAContradiction(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := newRefusedSeries(rand.New(rand.NewPCG(1, 2)), 100)
	ages := map[seriesHash]time.Duration{
		1: 0, 2: time.Second, 3: 11 * time.Minute, 4: time.Hour - 1, 5: time.Hour, 6: 2 * time.Hour, 7: 23 * time.Hour,
	}
	for x, age := range ages {
		r.condemn(now.Add(-age), x, "name", "reason", x%2 == 0)
	}
	if released := r.contradict(now); released != 4 {
		t.Errorf("%d series are released, want 4", released)
	}
	for x, age := range ages {
		if got, want := r.leavesOut(x), age >= time.Hour; got != want {
			t.Errorf("condemned %v ago: left out is %v, want %v", age, got, want)
		}
	}
	for age, want := range map[time.Duration]bool{0: true, time.Hour - 1: true, time.Hour: false} {
		if got := r.doubtful(now.Add(age)); got != want {
			t.Errorf("%v after it refusals are doubtful: %v, want %v", age, got, want)
		}
	}
}
