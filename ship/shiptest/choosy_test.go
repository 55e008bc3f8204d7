package shiptest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// Behaviours that refuse some batches are well to all others.
func TestBehavioursThatChoose(t *testing.T) {
	size := int64(len(encode.Native{}.Append(nil, batch(1, 1, 2))))
	for _, c := range []struct {
		name string
		shiptest.Behaviour
		want int
	}{
		{"poison in the batch", shiptest.Poison(422, 9, 2), 422},
		{"poison elsewhere", shiptest.Poison(422, 3), 200},
		{"at the limit", shiptest.Limited(size), 200},
		{"over the limit", shiptest.Limited(size - 1), 413},
		{"takes plain bodies", shiptest.Takes("gzip", ""), 200},
		{"takes gzip alone", shiptest.Takes("gzip"), 415},
	} {
		ingest := shiptest.NewIngest()
		ingest.Behave(c.Behaviour)
		first := batch(1, 1, 2)
		if status, body := post(ingest, first.ID(), first); status != c.want || ingest.Batches() != map[bool]int{true: 1}[c.want == 200] {
			t.Errorf("%s: %d %s, %d batches accepted; want %d", c.name, status, body, ingest.Batches(), c.want)
		}
	}
}

// What is left out is named by its index, and does not arrive.
func TestLeavesOutSaysWhat(t *testing.T) {
	first := batch(1, 1, 2)
	extra := metric.Column{Series: &metric.Series{Desc: &metric.Desc{Name: "extra", Unit: "1"}}}
	extra.Values = []metric.Value{metric.Int(7), metric.Int(8)}
	first.Series = append(first.Series, extra)
	ingest := shiptest.NewIngest()
	ingest.Behave(shiptest.LeavesOut("too many", func(s *metric.Series) bool { return s.Name == "extra" }))
	status, body := post(ingest, first.ID(), first)
	rejected, err := encode.Native{}.Acknowledged(first.ID(), first.Points(), []byte(body))
	if status != http.StatusOK || err != nil || rejected.Points != 2 || len(rejected.Series) != 1 || rejected.Series[0] != 1 || rejected.Reason != "too many" {
		t.Errorf("%d %s: %+v, %v; want two points of series 1", status, body, rejected, err)
	}
	if n := ingest.Arrivals()[0].Points(); n != 2 {
		t.Errorf("%d points arrived, want 2", n)
	}
}

// A tick that must not arrive is found when it did.
func TestExactlyFindsWhatShouldBeDead(t *testing.T) {
	ingest := shiptest.NewIngest()
	first := batch(1, 1, 3)
	post(ingest, first.ID(), first)
	if err := ingest.Exactly(3, 2); err != nil {
		t.Errorf("Exactly(3, 2) = %v", err)
	}
	if err := ingest.Exactly(3, 2, 3); err == nil || !strings.Contains(err.Error(), "tick 3 of 3 arrived 1 times") {
		t.Errorf("Exactly(3, 2, 3) = %v, want tick 3 named", err)
	}
}
