package encode_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// readClickHouse reads rows by the columns of the table in docs/backends.md. A
// Float64 takes an integer beyond 2^53 only with its exact value beside it.
func readClickHouse(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	for line := range bytes.Lines(body) {
		var row struct {
			TimeMS         int64       `json:"time_ms"`
			Name           string      `json:"name"`
			Kind           string      `json:"kind"`
			Unit           *string     `json:"unit"`
			Value          json.Number `json:"value"`
			ValueInt       json.Number `json:"value_int"`
			LabelKeys      []string    `json:"label_keys"`
			LabelValues    []string    `json:"label_values"`
			ResourceKeys   []string    `json:"resource_keys"`
			ResourceValues []string    `json:"resource_values"`
			Host           string      `json:"host"`
			AgentID        string      `json:"agent_id"`
			StartMS        int64       `json:"start_ms"`
		}
		strictJSON(t, line, &row)
		if row.Name == "" || row.Unit == nil || row.Host != "web-1" || row.AgentID != "a1" || len(row.ResourceKeys) != 2 {
			t.Fatalf("columns are missing: %s", line)
		}
		if row.LabelKeys == nil || len(row.LabelKeys) != len(row.LabelValues) || len(row.ResourceKeys) != len(row.ResourceValues) {
			t.Fatalf("keys without values: %s", line)
		}
		if (row.Kind == "counter") != (row.StartMS != 0) {
			t.Fatalf("a start that is not of a counter, or a counter without: %s", line)
		}
		if n, err := row.Value.Int64(); err == nil && row.ValueInt == "" && int64(float64(n)) != n {
			t.Fatalf("%d would be rounded: %s", n, line)
		}
		series := fmt.Sprintf("%s %q %q", row.Name, row.LabelKeys, row.LabelValues)
		points = append(points, readPoint{series, row.TimeMS, cmp.Or(row.ValueInt, row.Value).String()})
	}
	return points
}

func TestClickHouseAnswers(t *testing.T) {
	const exception = ". DB::Exception: what happened"
	for _, c := range []struct {
		status   int
		code     string // in the header
		body     string
		known    bool
		verdict  backend.Verdict
		overload bool
		hint     string
	}{
		{200, "", "", true, backend.Acked, false, ""},
		{200, "", "1\n", false, 0, false, ""},
		{200, "", "Code: 395" + exception, true, backend.Retry, false, "log"},
		{200, "", "{}\r\n__exception__\r\nCode: 241" + exception, true, backend.Retry, true, "log"},
		{200, "252", "", true, backend.Retry, true, "log"},
		{500, "", "Code: 27, e.displayText() = DB::Exception: Cannot parse input, e.what() = DB::Exception", true, backend.Reject, false, ""},
		{400, "117", "Code: 117" + exception, true, backend.Reject, false, ""},
		{400, "117", "Code: 117. DB::Exception: Unknown field found while parsing JSONEachRow format: host", true, backend.Pause, false, "table"},
		{404, "60", "Code: 60" + exception, true, backend.Pause, false, "table"},
		{404, "", "Code: 115, e.displayText() = DB::Exception: Unknown setting insert_deduplication_token, e.what() = DB::Exception", true, backend.Pause, false, "?insert_deduplication_token="},
		{400, "115", "Code: 115. DB::Exception: Setting async_insert is unknown", true, backend.Pause, false, "remove"},
		{403, "516", "Code: 516. DB::Exception: s3cret", true, backend.Pause, false, "HEKA_USERNAME"},
		{500, "164", "Code: 164" + exception, true, backend.Pause, false, "INSERT"},
		{500, "252", "Code: 252" + exception, true, backend.Retry, true, "log"},
		{500, "999", "Code: 999. Coordination::Exception: lost", true, backend.Retry, true, "log"},
		{500, "1002", "Code: 1002" + exception, false, 0, false, ""},
		{500, "", "Code: red", false, 0, false, ""},
		{502, "", "<html>", false, 0, false, ""},
	} {
		header := http.Header{}
		if c.code != "" {
			header.Set("X-ClickHouse-Exception-Code", c.code)
		}
		b := sample()
		sent := backend.Sent{ID: b.ID(), Points: b.Points(), Batch: b}
		j, known := encode.ClickHouse().Format.Judge(sent, backend.Answer{Status: c.status, Header: header, Body: []byte(c.body)})
		if known != c.known || j.Verdict != c.verdict || j.Overload != c.overload || !strings.Contains(j.Hint, c.hint) {
			t.Errorf("%d %s %s: %+v, %v; want verdict %d, %v", c.status, c.code, c.body, j, known, c.verdict, c.known)
		}
		if strings.Contains(j.Cause, "s3cret") {
			t.Errorf("the cause %q has a secret", j.Cause)
		}
	}
}
