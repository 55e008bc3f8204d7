package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

const (
	idHex   = "00000000000000ff000000000000002a"
	goodDoc = `{"schema":"heka.batch/1","batch_id":"` + idHex + `",
	"agent":{"id":"a1","version":"1.0","epoch":"00000000000000ff","seq":42},
	"resource":{"host.name":"web-1"},"start_ms":1763700000000,"interval_ms":5000,
	"times":[1763801234567,1763801239567,1763801244567],
	"series":[
	 {"name":"system.cpu.time","unit":"s","kind":"counter","labels":{"state":"user"},"values":[12.5,12.9,13]},
	 {"name":"system.memory.usage","unit":"By","kind":"updown","labels":{"state":"used"},"values":[9223372036854775807,null,-125]}],
	"loss":{"queue_full":{"points":3}}}`
)

// edit replaces a piece of the valid document. The piece must occur.
func edit(t *testing.T, old, replacement string) []byte {
	t.Helper()
	if !strings.Contains(goodDoc, old) {
		t.Fatalf("the good document has no %q", old)
	}
	return []byte(strings.Replace(goodDoc, old, replacement, 1))
}

func TestDecodeKeepsEverything(t *testing.T) {
	b, err := wire.Decode([]byte(goodDoc))
	if err != nil {
		t.Fatal(err)
	}
	if b.ID != idHex || b.Part != "" || b.Agent != (wire.Agent{ID: "a1", Version: "1.0", Epoch: 0xff, Seq: 42}) {
		t.Errorf("identity = %q, %q, %+v", b.ID, b.Part, b.Agent)
	}
	if b.Resource["host.name"] != "web-1" || b.StartMS != 1763700000000 || b.IntervalMS != 5000 || b.Loss["queue_full"].Points != 3 {
		t.Errorf("batch = %+v", b)
	}
	if len(b.Times) != 3 || b.Times[2] != 1763801244567 || b.Points() != 5 || len(b.Rejected) != 0 {
		t.Errorf("times %v, points %d, rejected %v", b.Times, b.Points(), b.Rejected)
	}
	got, err := json.Marshal(b.Series)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"system.cpu.time","unit":"s","kind":"counter","labels":{"state":"user"},"start_ms":0,"values":[12.5,12.9,13]},` +
		`{"name":"system.memory.usage","unit":"By","kind":"updown","labels":{"state":"used"},"start_ms":0,"values":[9223372036854775807,null,-125]}]`
	if string(got) != want {
		t.Errorf("series = %s\nwant %s", got, want)
	}
}

func TestDecodeAcceptsParts(t *testing.T) {
	for _, part := range []string{
		"/0", "/1", "/17", "/1/0", "-1a2b3c4d", "-00000000", "/0-ffffffff", "/0/1-1a2b3c4d",
		strings.Repeat("/1", 40), strings.Repeat("/1", 40) + "-1a2b3c4d",
	} {
		b, err := wire.Decode(edit(t, idHex, idHex+part))
		if err != nil || b.Part != part || b.ID != idHex+part {
			t.Errorf("part %q: %+v, %v", part, b, err)
		}
	}
}

func TestDecodeRefusesOtherParts(t *testing.T) {
	for _, part := range []string{
		"/", "/x", "//0", "0", "/0/", "/-1", "/+1", "/1234567", strings.Repeat("/1", 41), strings.Repeat("/1", 41) + "-1a2b3c4d",
		"-", "-1a2b3c4", "-1a2b3c4d5", "-1A2B3C4D", "-1a2b3c4g", "1a2b3c4d", "/0-", "/0-1a2b3c4", "/01a2b3c4d", "/0/-1a2b3c4d",
		"-1a2b3c4d-1a2b3c4d", "/0-1a2b3c4d-1a2b3c4d", "-1a2b3c4d/0", "/0-1a2b3c4d/1", "-1a2b3c4d/", "--1a2b3c4d", "-1a2b3c4d ", "-1a2b3c4d\\n",
	} {
		b, err := wire.Decode(edit(t, idHex, idHex+part))
		if err == nil || !strings.Contains(err.Error(), "batch_id: want "+idHex) || len(err.Error()) > 300 {
			t.Errorf("part %q: %+v, %v; want one short line about batch_id", part, b, err)
		}
	}
}

func TestDecodeProbe(t *testing.T) {
	body := `{"schema":"heka.batch/1","batch_id":"` + idHex + `","agent":{"id":"a","version":"","epoch":"00000000000000ff","seq":42},"interval_ms":5000,"times":[],"series":[]}`
	b, err := wire.Decode([]byte(body))
	if err != nil || !b.IsProbe() || b.Points() != 0 {
		t.Errorf("Decode = %+v, %v", b, err)
	}
}

func TestDecodeRefusesBatch(t *testing.T) {
	cases := []struct{ old, replacement, want string }{
		{`"heka.batch/1"`, `"heka.batch/2"`, `schema: want "heka.batch/1", got "heka.batch/2"`},
		{`"heka.batch/1"`, `7`, "schema: want a string, got number"},
		{`"schema":"heka.batch/1",`, ``, "schema: missing"},
		{idHex, idHex[:31], "batch_id: want " + idHex},
		{idHex, strings.ToUpper(idHex), "batch_id: want " + idHex},
		{`"id":"a1"`, `"id":""`, "agent.id: want 1 to 255 bytes"},
		{`"id":"a1"`, `"id":["a1"]`, "agent.id: want a string, got array"},
		{`"epoch":"00000000000000ff"`, `"epoch":"ff"`, "agent.epoch: want 16"},
		{`"epoch":"00000000000000ff"`, `"epoch":"00000000000000FF"`, "agent.epoch: want 16"},
		{`"seq":42`, `"seq":0`, "agent.seq: want a number from 1"},
		{`"seq":42`, `"seq":-1`, "agent.seq: want a whole number, got number -1"},
		{`"seq":42`, `"seq":18446744073709551615`, "agent.seq: want a number from 1"},
		{`{"host.name":"web-1"}`, `[]`, "resource: want an object, got array"},
		{`{"host.name":"web-1"}`, `{"host.name":1}`, "resource: want a string, got number"},
		{`{"host.name":"web-1"}`, `{"host.name":null}`, "resource: host.name: want a string, got null"},
		{`{"host.name":"web-1"}`, `{"":"x"}`, "resource: want keys of 1 to 255 bytes"},
		{`{"host.name":"web-1"}`, `{"x":"` + strings.Repeat("x", 5000) + `"}`, "resource: x: longer than 4096 bytes"},
		{`{"host.name":"web-1"}`, `{"x":"` + strings.Repeat("x", 300000) + `"}`, "resource: longer than 262144 bytes"},
		{`"interval_ms":5000`, `"interval_ms":0`, "interval_ms: want 1 to"},
		{`"interval_ms":5000,`, ``, "interval_ms: missing"},
		{`"start_ms":1763700000000`, `"start_ms":-1`, "start_ms: want a time"},
		{`1763801239567`, `1763801234567`, "times[1]: not after times[0]"},
		{`1763801239567`, `1763801234566`, "times[1]: not after times[0]"},
		{`1763801234567`, `0`, "times[0]: want a time in Unix ms"},
		{`1763801244567`, `9763801244567000`, "times[2]: want a time in Unix ms"},
		{`1763801234567`, `1.5`, "times: want a whole number, got number 1.5"},
		{`[1763801234567,1763801239567,1763801244567]`, `[]`, "times: empty, but there are series"},
		{`[1763801234567,1763801239567,1763801244567]`, `{}`, "times: want an array, got object"},
		{`{"points":3}`, `{"points":-3}`, "loss.queue_full.points: negative"},
		{`"queue_full"`, `""`, "loss: want reasons of 1 to 255 bytes"},
		{`{"points":3}`, `3`, "want an object, got number"},
		{`"series":[`, `"series":7,"x":[`, `series: want "["`},
		{`"series":[`, `"series":[],"series":[`, "series: given twice"},
		{`{"points":3}}}`, `{"points":3}}`, "body: ends too early"},
		{`{"points":3}}}`, `{"points":3}}}{}`, "body: something follows the batch"},
		{`"state":"user"`, "\"state\":\"\xff\"", "body: not valid UTF-8"},
		{`"values":[12.5`, `"values":[012.5`, "series[0]: invalid character '1'"},
		{`"values":[12.5`, `"values":[NaN`, "series[0]: invalid character 'N'"},
	}
	for _, c := range cases {
		_, err := wire.Decode(edit(t, c.old, c.replacement))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s -> %s: error %v, want %q", c.old, c.replacement, err, c.want)
			continue
		}
		if errors.Is(err, wire.ErrTooLarge) || strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 300 {
			t.Errorf("%s -> %s: not a short line about a malformed batch: %v", c.old, c.replacement, err)
		}
	}
	for _, body := range []string{"", "null", "[]", "7", "{", `{"a"`, "{}", "\x1f\x8b", `"x"`, strings.Repeat("[", 1<<20)} {
		if _, err := wire.Decode([]byte(body)); err == nil || errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("Decode(%.20q) = %v, want a malformed batch", body, err)
		}
	}
}

// A bad series is rejected alone; its neighbours are stored.
func TestDecodeRejectsSeriesAlone(t *testing.T) {
	const first = `{"name":"system.cpu.time","unit":"s","kind":"counter","labels":{"state":"user"},"values":[12.5,12.9,13]}`
	cases := []struct{ replacement, want string }{
		{`{"name":"","kind":"gauge","values":[1,2,3]}`, "name: want 1 to 255 bytes"},
		{`{"kind":"gauge","values":[1,2,3]}`, "name: want 1 to 255 bytes"},
		{`{"name":7,"kind":"gauge","values":[1,2,3]}`, "name: want a string, got number"},
		{`{"name":"x","kind":"histogram","values":[1,2,3]}`, `kind: want gauge, counter or updown, got "histogram"`},
		{`{"name":"x","kind":"gauge","unit":"` + strings.Repeat("x", 256) + `","values":[1,2,3]}`, "unit: longer"},
		{`{"name":"x","kind":"gauge","values":[1,2]}`, "values: 2 of them for 3 times"},
		{`{"name":"x","kind":"gauge"}`, "values: 0 of them for 3 times"},
		{`{"name":"x","kind":"gauge","values":7}`, "values: want an array"},
		{`{"name":"x","kind":"gauge","values":[1,"2",3]}`, `values[1]: want a number or null, got "\"2\""`},
		{`{"name":"x","kind":"gauge","values":[1,"2,4",3]}`, `values[1]: want a number or null`},
		{`{"name":"x","kind":"gauge","values":[1,[2],3]}`, `values[1]: want a number or null`},
		{`{"name":"x","kind":"gauge","values":[1,1e999,3]}`, "values[1]: 1e999 is beyond the range"},
		{`{"name":"x","kind":"gauge","values":[1,-1e999,3]}`, "values[1]: -1e999 is beyond the range"},
		{`{"name":"x","kind":"gauge","labels":[],"values":[1,2,3]}`, "labels: want an object, got array"},
		{`{"name":"x","kind":"gauge","labels":{"a":1},"values":[1,2,3]}`, "want a string, got number"},
		{`{"name":"x","kind":"gauge","labels":{"a":null},"values":[1,2,3]}`, "a: want a string, got null"},
		{`{"name":"x","kind":"gauge","labels":{"":"a"},"values":[1,2,3]}`, "labels: want keys"},
		{`{"name":"x","kind":"counter","start_ms":-5,"values":[1,2,3]}`, "start_ms: want a time"},
		{`null`, "null"},
		{`7`, "want an object, got number"},
	}
	for _, c := range cases {
		b, err := wire.Decode(edit(t, first, c.replacement))
		if err != nil {
			t.Errorf("%s: %v, want the series alone rejected", c.replacement, err)
			continue
		}
		if len(b.Series) != 1 || b.Series[0].Name != "system.memory.usage" {
			t.Errorf("%s: series %+v, want the second one alone", c.replacement, b.Series)
		}
		if len(b.Rejected) != 1 || b.Rejected[0].Series != 0 || !strings.Contains(b.Rejected[0].Reason, c.want) {
			t.Errorf("%s: rejected %+v, want %q", c.replacement, b.Rejected, c.want)
		}
	}
}

func TestDecodeRejectsSecondOfTwins(t *testing.T) {
	twin := `{"name":"x","kind":"gauge","labels":{"b":"1","a":"2"},"values":[1,2,3]}`
	same := `{"name":"x","kind":"gauge","labels":{"a":"2","b":"1"},"values":[4,5,6]}`
	b, err := wire.Decode(edit(t, `"series":[`, `"series":[`+twin+","+same+","))
	if err != nil || len(b.Series) != 3 || len(b.Rejected) != 1 || b.Rejected[0].Series != 1 {
		t.Errorf("Decode = %+v, %v", b, err)
	}
}

func TestDecodeIgnoresUnknownFields(t *testing.T) {
	if _, err := wire.Decode(edit(t, `"schema"`, `"later":{"deep":[1,{"x":null}]},"schema"`)); err != nil {
		t.Error(err)
	}
}

func TestDecodeBounds(t *testing.T) {
	series := `{"name":"x","kind":"gauge","values":[1,2,3]},`
	column := `{"name":"x","kind":"gauge","values":[` + strings.Repeat("1,", wire.MaxTicks-1) + `1]},`
	times := `"times":[` + strings.Repeat("1,", wire.MaxTicks) + `1]`
	for name, body := range map[string][]byte{
		"series": edit(t, `"series":[`, `"series":[`+strings.Repeat(series, wire.MaxSeries)),
		"points": edit(t, `"series":[`, `"series":[`+strings.Repeat(column, wire.MaxPoints/wire.MaxTicks+1)),
		"times":  edit(t, `"times":[1763801234567,1763801239567,1763801244567]`, times),
	} {
		if _, err := wire.Decode(body); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
}

// TestDecodeRefusesBeforeItAllocates checks that a field that is too large
// costs a few copies of its text, and is not decoded.
func TestDecodeRefusesBeforeItAllocates(t *testing.T) {
	const n = 1 << 18
	var reasons strings.Builder
	for i := range n {
		fmt.Fprintf(&reasons, `"%x":{},`, i)
	}
	for name, body := range map[string][]byte{
		"times": edit(t, `"times":[1763801234567,1763801239567,1763801244567]`, `"times":[`+strings.Repeat("1,", 4*n)+`1]`),
		"loss":  edit(t, `"loss":{`, `"loss":{`+reasons.String()),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := wire.Decode(body)
		runtime.ReadMemStats(&after)
		total := after.TotalAlloc - before.TotalAlloc
		if err == nil || total > 6*uint64(len(body)) {
			t.Errorf("%s: %v after %d MiB for a body of %d MiB", name, err, total>>20, len(body)>>20)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		p, q string
		want bool
	}{
		{"", "", true},
		{"", "/0", true},
		{"/0", "/0", true},
		{"/0", "/0/1", true},
		{"/0", "", false},
		{"/0", "/1", false},
		{"/1", "/10", false},
		{"/0/1", "/0", false},
		{"", "-1a2b3c4d", true},
		{"", "/0/1-1a2b3c4d", true},
		{"/0", "/0-1a2b3c4d", true},
		{"/0", "/0/1-1a2b3c4d", true},
		{"/0", "-1a2b3c4d", false},
		{"/0", "/1-1a2b3c4d", false},
		{"/1", "/10-1a2b3c4d", false},
		{"-1a2b3c4d", "-1a2b3c4d", true},
		{"-1a2b3c4d", "-1a2b3c4e", false},
		{"-1a2b3c4d", "", false},
		{"-1a2b3c4d", "/0", false},
		{"-1a2b3c4d", "-1a2b3c4d/0", false}, // no batch has this Part
		{"-1a2b3c4d", "/0-1a2b3c4d", false},
		{"/0-1a2b3c4d", "/0-1a2b3c4d", true},
		{"/0-1a2b3c4d", "/0-1a2b3c4e", false},
		{"/0-1a2b3c4d", "/0", false},
		{"/0-1a2b3c4d", "/0/1", false},
		{"/0-1a2b3c4d", "/0/1-1a2b3c4d", false},
	} {
		if got := wire.Covers(c.p, c.q); got != c.want {
			t.Errorf("Covers(%q, %q) = %v", c.p, c.q, got)
		}
	}
}

func TestFloatHasNoInfinity(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if !wire.Float(f).IsNull() {
			t.Errorf("Float(%v) is not null", f)
		}
	}
}

// For any bytes, Decode returns either a batch that keeps its promises or one
// short line.
func FuzzDecode(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, path := range seeds {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
		f.Add(body[:len(body)/2])
		f.Add(bytes.ReplaceAll(body, []byte("1"), []byte("-1e400")))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := wire.Decode(body)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 400 {
				t.Fatalf("not a short line: %q", err)
			}
			return
		}
		for i := 1; i < len(b.Times); i++ {
			if b.Times[i] <= b.Times[i-1] {
				t.Fatalf("times %v", b.Times)
			}
		}
		if b.Agent.Seq < 1 || b.IntervalMS < 1 || !strings.HasSuffix(b.ID, b.Part) || len(b.ID) != 32+len(b.Part) {
			t.Fatalf("batch %+v", b)
		}
		if path, hash, left := strings.Cut(b.Part, "-"); left && len(hash) != 8 || !wire.Covers(path, b.Part) ||
			!wire.Covers(b.Part, b.Part) || wire.Covers(b.Part, b.Part+"/0") == left {
			t.Fatalf("part %q", b.Part)
		}
		for _, s := range b.Series {
			if len(s.Values) != len(b.Times) || s.Name == "" {
				t.Fatalf("series %+v", s)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var body bytes.Buffer
	body.WriteString(strings.SplitAfter(goodDoc, `"series":[`)[0])
	for i := range 80 {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(`{"name":"system.disk.io","unit":"By","kind":"counter","labels":{"device":"sd` + strconv.Itoa(i) + `","direction":"read"},"values":[123456789,123456999,123459999]}`)
	}
	body.WriteString("]}")
	b.SetBytes(int64(body.Len()))
	for b.Loop() {
		if _, err := wire.Decode(body.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
