package truth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/encode/truth"
)

const clickHouseTable = `CREATE TABLE m (time DateTime, name String, keys Array(String), value Float64, count Int64) ENGINE = Memory`

// insert returns the URL that rows are posted to.
func insert(c truth.ClickHouse, table string, settings ...string) string {
	query := url.Values{"query": {"INSERT INTO " + table + " FORMAT JSONEachRow"}, "user": {c.User}, "password": {c.Password}}
	for i := 0; i < len(settings); i += 2 {
		query.Set(settings[i], settings[i+1])
	}
	return c.URL + "/?" + query.Encode()
}

// TestClickHouseReads posts rows and reads them back with all digits.
func TestClickHouseReads(t *testing.T) {
	c := truth.StartClickHouse(t)
	c.Exec(t, clickHouseTable)
	const body = `{"time":1700000000,"name":"a","keys":["x","y\n"],"value":0.1,"count":9223372036854775807}
{"time":"2023-11-14 22:13:21","name":"b","keys":[],"value":1.5}
`
	status, _, answer := post(t, insert(c, "m"), nil, []byte(body))
	if status != http.StatusOK || answer != "" {
		t.Errorf("%d %s", status, answer)
	}
	want := []map[string]any{
		{"s": json.Number("1700000000"), "name": "a", "keys": []any{"x", "y\n"}, "value": json.Number("0.1"), "count": json.Number("9223372036854775807")},
		{"s": json.Number("1700000001"), "name": "b", "keys": []any{}, "value": json.Number("1.5"), "count": json.Number("0")},
	}
	if got := c.Rows(t, "SELECT toUInt32(time) AS s, name, keys, value, count FROM m ORDER BY name"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestClickHouseRefuses is about what the server answers to what it does not take.
// This version says the code in the text alone, in no header.
func TestClickHouseRefuses(t *testing.T) {
	c := truth.StartClickHouse(t)
	c.Exec(t, clickHouseTable)
	const good = `{"time":1700000000,"name":"a","value":1}` + "\n"
	for _, test := range []struct {
		name, url, encoding string
		body                []byte
		status              int
		says                string
	}{
		{"gzip", insert(c, "m"), "gzip", gzipped(t, good), 200, ""},
		{"no gzip", insert(c, "m"), "gzip", []byte(good), 500, "Code: 354, "},
		{"zstd", insert(c, "m"), "zstd", zstded(t, good), 500, "Code: 89, e.displayText() = DB::Exception: Unknown Content-Encoding of HTTP request: zstd"},
		{"setting", insert(c, "m", "insert_deduplication_token", "1"), "", []byte(good), 404, "Code: 115, e.displayText() = DB::Exception: Unknown setting insert_deduplication_token"},
		{"word", insert(c, "m"), "", []byte(good + `{"value":"x"}`), 500, "Code: 27, e.displayText() = DB::Exception: Cannot parse input: "},
		{"half a row", insert(c, "m"), "", []byte(good + `{"value":`), 400, "Code: 72, "},
		{"fraction of a second", insert(c, "m"), "", []byte(`{"time":1700000000.5}`), 500, "Code: 27, "},
		{"unknown field", insert(c, "m"), "", []byte(good + `{"time":1,"x":1}`), 500, "Code: 117, "},
		{"no table", insert(c, "n"), "", []byte(good), 404, "Code: 60, e.displayText() = DB::Exception: Table default.n doesn't exist."},
		{"no database", insert(c, "d.m"), "", []byte(good), 404, "Code: 81, "},
		{"password", insert(c, "m", "password", "x"), "", []byte(good), 401, "Code: 193, e.displayText() = DB::Exception: Wrong password for user heka"},
		{"user", insert(c, "m", "user", "x"), "", []byte(good), 401, "Code: 192, "},
		{"memory", insert(c, "m", "max_memory_usage", "1"), "", []byte(good), 500, "Code: 241, "},
		{"query", c.URL + "/?" + url.Values{"query": {"INSERT"}, "user": {c.User}, "password": {c.Password}}.Encode(), "", []byte(good), 400, "Code: 62, "},
		{"nothing", insert(c, "m"), "", nil, 200, ""},
	} {
		header := http.Header{}
		if test.encoding != "" {
			header.Set("Content-Encoding", test.encoding)
		}
		status, header, answer := post(t, test.url, header, test.body)
		if status != test.status || !strings.HasPrefix(answer, test.says) || (test.says == "") != (answer == "") {
			t.Errorf("%s: %d %s", test.name, status, answer)
		}
		if got := header.Get("X-ClickHouse-Exception-Code"); got != "" {
			t.Errorf("%s: X-ClickHouse-Exception-Code: %s", test.name, got)
		}
	}
	// Good rows before a bad one are not taken: what is there came by gzip.
	if got := c.Rows(t, "SELECT name FROM m"); len(got) != 1 {
		t.Errorf("it took %v", got)
	}
}
