package encode_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// clickHouseRow is a row of the table in docs/backends.md.
type clickHouseRow struct {
	TimeMS         int64       `json:"time_ms"`
	StartMS        int64       `json:"start_ms"`
	Name           string      `json:"name"`
	Unit           string      `json:"unit"`
	Kind           string      `json:"kind"`
	Value          json.Number `json:"value"`
	LabelKeys      []string    `json:"label_keys"`
	LabelValues    []string    `json:"label_values"`
	ResourceKeys   []string    `json:"resource_keys"`
	ResourceValues []string    `json:"resource_values"`
	AgentID        string      `json:"agent_id"`
	Host           string      `json:"host"`
}

func readClickHouse(t *testing.T, body []byte) (points []readPoint) {
	t.Helper()
	for line := range bytes.Lines(body) {
		var row clickHouseRow
		strictJSON(t, line, &row)
		if row.AgentID != "a1" || row.Host != "web-1" || len(row.ResourceKeys) != 2 || len(row.LabelKeys) != len(row.LabelValues) ||
			(row.StartMS == 0) != (row.Kind == "gauge") || row.StartMS > row.TimeMS {
			t.Fatalf("not a row of the table: %+v", row)
		}
		points = append(points, readPoint{fmt.Sprintf("%s %q %q", row.Name, row.LabelKeys, row.LabelValues), row.TimeMS, row.Value.String()})
	}
	return points
}

func TestClickHouseExceptions(t *testing.T) {
	answer := func(status int, code, body string) (backend.Judgement, bool) {
		header := http.Header{}
		if code != "" {
			header.Set("X-ClickHouse-Exception-Code", code)
		}
		return encode.ClickHouse().Format.Judge(backend.Sent{Points: 9}, backend.Answer{Status: status, Header: header, Body: []byte(body)})
	}
	for _, c := range []struct {
		status  int
		code    string
		body    string
		verdict backend.Verdict
		says    string
	}{
		{404, "60", "Code: 60. DB::Exception: Table default.heka_metrics does not exist.", backend.Pause, "does not exist"},
		{500, "", "Code: 60, e.displayText() = DB::Exception: Table default.heka_metrics doesn't exist.", backend.Pause, "doesn't exist"},
		{500, "", "Code: 115, e.displayText() = DB::Exception: Unknown setting insert_deduplication_token", backend.Pause, "Unknown setting"},
		{400, "27", "Code: 27. DB::Exception: Cannot parse input", backend.Reject, "Cannot parse"},
		{500, "27", "Code: 27. DB::Exception: Cannot parse input", backend.Reject, "Cannot parse"},
		{500, "252", "Code: 252. DB::Exception: Too many parts", backend.Retry, "Too many parts"},
		{200, "", "Code: 395. DB::Exception: thrown", backend.Retry, "395"},
		{200, "", "Code: 117. DB::Exception: Incorrect data", backend.Reject, "Incorrect"},
		{403, "516", "Code: 516. DB::Exception: default: Authentication failed: secret", backend.Pause, "516"},
	} {
		j, known := answer(c.status, c.code, c.body)
		if !known || j.Verdict != c.verdict || !strings.Contains(j.Cause, c.says) || (j.Hint == "") != (c.verdict != backend.Pause) {
			t.Errorf("%d %s: %+v, %v; want verdict %d with %q", c.status, c.body, j, known, c.verdict, c.says)
		}
		if strings.Contains(j.Cause, "secret") {
			t.Errorf("%s: the cause repeats what is said of a credential", j.Cause)
		}
	}
	if j, _ := answer(500, "252", "Code: 252"); !j.Overload {
		t.Error("too many parts is no overload")
	}
	if j, known := answer(500, "12345", "Code: 12345. DB::Exception"); known {
		t.Errorf("a code that nobody knows: %+v; want the status to count", j)
	}
}
