package encode_test

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample holds one of everything the format can express.
func sample() *metric.Batch {
	cpu := &metric.Desc{Name: "system.cpu.time", Unit: "s", Kind: metric.Counter}
	mem := &metric.Desc{Name: "system.memory.usage", Unit: "By", Kind: metric.UpDown}
	load := &metric.Desc{Name: "system.cpu.load_average.1m", Unit: "{thread}"}
	util := &metric.Desc{Name: "system.cpu.utilization", Unit: "1"}
	return &metric.Batch{
		Agent:      metric.Agent{ID: "a1", Version: "1.2.3", Epoch: 0xfeedfacecafebeef, Seq: 42},
		Resource:   []metric.Label{metric.L("host.name", "web-1"), metric.L("os.type", "linux")},
		StartMS:    1763700000000,
		IntervalMS: 5000,
		Times:      []int64{1763801234567, 1763801239567, 1763801244567},
		Series: []metric.Column{
			{Series: &metric.Series{Desc: cpu, Labels: []metric.Label{metric.L("state", "user")}}, Values: []metric.Value{metric.Float(12.5), metric.Float(12.9), metric.Float(13)}},
			{Series: &metric.Series{Desc: mem, Labels: []metric.Label{metric.L("state", "used")}}, Values: []metric.Value{metric.Int(123), {}, metric.Int(math.MaxInt64)}},
			{Series: &metric.Series{Desc: cpu, Labels: []metric.Label{metric.L("state", "id\"le\n\\")}, StartMS: 1763800000000}, Values: []metric.Value{metric.Float(1e-9), metric.Float(1e300), {}}},
			{Series: &metric.Series{Desc: load}, Values: []metric.Value{{}, {}, metric.Int(-3)}},
			{Series: &metric.Series{Desc: util, Labels: []metric.Label{metric.L("mount", "/mnt/ü \x01\xff")}}, Values: []metric.Value{{}, {}, metric.Float(0.25)}},
		},
		Loss: []metric.Loss{{Reason: "queue_full"}, {Reason: "spool_evicted", Points: 7}},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", name, got, want)
	}
}

func TestNativeGolden(t *testing.T) {
	body := encode.Native{}.Append(nil, sample())
	if !json.Valid(body) {
		t.Fatalf("not JSON: %s", body)
	}
	golden(t, "native.json", body)
}

func TestPrometheusGolden(t *testing.T) {
	golden(t, "prometheus.txt", encode.Prometheus(nil, sample()))
}

func TestNativeRoundTrip(t *testing.T) {
	for _, part := range []string{
		"", "/0", "/1/12", "-1a2b3c4d", "/0-00000000", "/0/1-ffffffff", strings.Repeat("/1", 40) + "-1a2b3c4d",
	} {
		b := sample()
		b.Part = part
		body := encode.Native{}.Append(nil, b)
		back, err := encode.Native{}.Decode(body)
		if err != nil {
			t.Fatalf("part %q: %v", part, err)
		}
		if again := (encode.Native{}).Append(nil, back); string(again) != string(body) {
			t.Errorf("part %q: round trip differs:\n%s\n%s", part, body, again)
		}
		if back.Points() != b.Points() {
			t.Errorf("points = %d, want %d", back.Points(), b.Points())
		}
	}
}

func TestDecodeRefusesWhatCouldBeMisread(t *testing.T) {
	good := string(encode.Native{}.Append(nil, sample()))
	cases := []struct{ name, old, replacement, want string }{
		{"schema", "heka.batch/1", "heka.batch/2", "schema"},
		{"epoch", `"epoch":"feedfacecafebeef"`, `"epoch":"feed"`, "epoch"},
		{"id", `"batch_id":"feed`, `"batch_id":"beef`, "batch_id"},
		{"short column", "[12.5,12.9,13]", "[12.5]", "1 values for 3 times"},
		{"kind", `"kind":"updown"`, `"kind":"histogram"`, "histogram"},
		{"text value", "[12.5,", `["12.5",`, "not a number"},
		{"labels", `"labels":{"state":"used"}`, `"labels":["used"]`, "not an object"},
		{"cut", `}}}`, ``, "decode batch"},
	}
	for _, c := range cases {
		bad := strings.Replace(good, c.old, c.replacement, 1)
		if bad == good {
			t.Fatalf("%s: the case does not change the body", c.name)
		}
		if _, err := (encode.Native{}).Decode([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Decode = %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestDecodeRefusesOtherParts(t *testing.T) {
	for _, part := range []string{
		"/", "/x", "//0", "0", "/0/", "/+1", strings.Repeat("/1", 41), "-", "-1a2b3c4", "-1a2b3c4d5", "-1A2B3C4D",
		"-1a2bx3c4", "1a2b3c4d", "/-1a2b3c4d", "-1a2b3c4d-1a2b3c4d", "-1a2b3c4d/0", "/0-1a2b3c4d/1", "--1a2b3c4d",
	} {
		b := sample()
		b.Part = part
		if _, err := (encode.Native{}).Decode(encode.Native{}.Append(nil, b)); err == nil || !strings.Contains(err.Error(), "batch_id") {
			t.Errorf("part %q: Decode = %v, want an error with batch_id", part, err)
		}
	}
}

func TestAcknowledged(t *testing.T) {
	const id = "feedfacecafebeef000000000000002a"
	cases := []struct {
		name, body string
		rejected   int64
		ok         bool
	}{
		{"accepted", `{"batch_id":"` + id + `","status":"accepted","points":10,"rejected":[]}`, 0, true},
		{"duplicate", `{"batch_id":"` + id + `","status":"duplicate","points":0}`, 0, true},
		{"some rejected", `{"batch_id":"` + id + `","points":7,"rejected":[{"series":1,"reason":"x"}]}`, 3, true},
		{"another batch", `{"batch_id":"0","points":10}`, 0, false},
		{"portal", `<html>please log in</html>`, 0, false},
		{"empty", ``, 0, false},
	}
	for _, c := range cases {
		rejected, err := encode.Native{}.Acknowledged(id, 10, []byte(c.body))
		if rejected.Points != c.rejected || (err == nil) != c.ok {
			t.Errorf("%s: Acknowledged = %+v, %v; want %d points, ok %v", c.name, rejected, err, c.rejected, c.ok)
		}
		if c.rejected > 0 && (!slices.Equal(rejected.Series, []int{1}) || rejected.Reason != "x") {
			t.Errorf("%s: Acknowledged = %+v, want series 1 for the reason x", c.name, rejected)
		}
	}
}

func TestAppendAllocatesNothingPerPoint(t *testing.T) {
	small, large := wide(10, 10), wide(100, 100)
	allocs := func(b *metric.Batch) float64 {
		dst := encode.Native{}.Append(nil, b)
		return testing.AllocsPerRun(20, func() { dst = encode.Native{}.Append(dst[:0], b) })
	}
	if s, l := allocs(small), allocs(large); l > s {
		t.Errorf("10,000 points cost %v allocations, 100 points %v", l, s)
	}
}

// wide makes a batch of series × ticks points shaped like a host's.
func wide(series, ticks int) *metric.Batch {
	b := sample()
	b.Times, b.Series = make([]int64, ticks), make([]metric.Column, series)
	desc := &metric.Desc{Name: "system.disk.operations", Unit: "{operations}", Kind: metric.Counter}
	for i := range b.Times {
		b.Times[i] = 1763801234567 + int64(i)*5000
	}
	for i := range b.Series {
		values := make([]metric.Value, ticks)
		for j := range values {
			values[j] = metric.Int(int64(i*1_000_003 + j*977))
			if i%4 == 0 {
				values[j] = metric.Float(float64(i*j) / 100)
			}
		}
		labels := []metric.Label{metric.L("device", "sda"), metric.L("direction", "read")}
		b.Series[i] = metric.Column{Series: &metric.Series{Desc: desc, Labels: labels}, Values: values}
	}
	return b
}

func BenchmarkAppend(b *testing.B) {
	batch := wide(1000, 10)
	dst := encode.Native{}.Append(nil, batch)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = encode.Native{}.Append(dst[:0], batch)
	}
}

func BenchmarkDecode(b *testing.B) {
	body := encode.Native{}.Append(nil, wide(1000, 10))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := (encode.Native{}).Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecode checks that whatever decodes encodes to a fixed point: decoding
// that again gives the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add(encode.Native{}.Append(nil, sample()))
	f.Add(encode.Native{}.Append(nil, wide(2, 2)))
	variant := sample()
	variant.Part = "/0/1-1a2b3c4d"
	f.Add(encode.Native{}.Append(nil, variant))
	f.Add([]byte(`{"schema":"heka.batch/1"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := encode.Native{}.Decode(body)
		if err != nil {
			return
		}
		first := encode.Native{}.Append(nil, b)
		if !json.Valid(first) {
			t.Fatalf("not JSON: %s", first)
		}
		again, err := encode.Native{}.Decode(first)
		if err != nil {
			t.Fatalf("own output does not decode: %v\n%s", err, first)
		}
		if second := (encode.Native{}).Append(nil, again); string(second) != string(first) {
			t.Fatalf("not a fixed point:\n%s\n%s", first, second)
		}
	})
}
