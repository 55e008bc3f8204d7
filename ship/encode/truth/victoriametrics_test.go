package truth_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/encode/truth"
)

// TestVictoriaMetricsReads posts lines by /api/v1/import and reads them back, what
// is of the future too. Numbers are float64 there.
func TestVictoriaMetricsReads(t *testing.T) {
	v := truth.StartVictoriaMetrics(t)
	const body = `{"metric":{"__name__":"a","x":"1"},"values":[1.5,4503599627370497,0.1],"timestamps":[1700000000001,1700000001000,1800000002123]}
{"metric":{"__name__":"b"},"values":[-1],"timestamps":[1000]}
`
	want := []truth.Point{
		{Name: "a", Labels: map[string]string{"x": "1"}, TimeMS: 1700000000001, Value: "1.5"},
		{Name: "a", Labels: map[string]string{"x": "1"}, TimeMS: 1700000001000, Value: "4503599627370497"},
		{Name: "b", Labels: map[string]string{}, TimeMS: 1000, Value: "-1"},
	}
	status, _, answer := post(t, v.URL+"/api/v1/import", nil, []byte(body))
	if status != http.StatusNoContent || answer != "" {
		t.Errorf("%d %s", status, answer)
	}
	got := v.Points(t, `{__name__!=""}`)
	slices.SortStableFunc(got, func(a, b truth.Point) int { return strings.Compare(a.Name, b.Name) })
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestVictoriaMetricsLeavesOut is about what /api/v1/import takes of a body that it
// cannot read in full: this version answers as if all were well.
func TestVictoriaMetricsLeavesOut(t *testing.T) {
	v := truth.StartVictoriaMetrics(t)
	line := func(name, value string) string {
		return fmt.Sprintf(`{"metric":{"__name__":%q},"values":[%s],"timestamps":[1700000000000]}`+"\n", name, value)
	}
	for i, test := range []struct {
		name, encoding string
		body           []byte
		status         int
		taken          bool
	}{
		{"gzip", "gzip", gzipped(t, line("test0", "1")), 204, true},
		{"no gzip", "gzip", []byte(line("test1", "1")), 400, false},
		{"zstd", "zstd", zstded(t, line("test2", "1")), 204, false},
		{"bad lines around", "", []byte(line("x", `"x"`) + line("test3", "1") + "nonsense\n"), 204, true},
		{"null", "", []byte(line("test4", "null")), 204, false},
		{"more values than times", "", []byte(line("test5", "1,2")), 204, false},
		{"gzip unsaid", "", gzipped(t, line("test6", "1")), 204, false},
	} {
		status, header, answer := post(t, v.URL+"/api/v1/import", http.Header{"Content-Encoding": {test.encoding}}, test.body)
		taken := len(v.Points(t, fmt.Sprintf("test%d", i))) == 1
		if status != test.status || taken != test.taken {
			t.Errorf("%s: %d %v %s, taken: %v", test.name, status, header, answer, taken)
		}
	}
	if got := v.Points(t, `{__name__!~"test.*"}`); got != nil {
		t.Errorf("it took %v", got)
	}
}
