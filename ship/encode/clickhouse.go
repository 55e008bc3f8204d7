package encode

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// ClickHouse is ClickHouse's HTTP interface
// (https://clickhouse.com/docs/interfaces/http): one row a point, in the format
// JSONEachRow, into the table that docs/backends.md has. A repeated batch has the
// same insert_deduplication_token, which servers since 22.1 know.
func ClickHouse() backend.Backend {
	return backend.Backend{
		Name: "clickhouse", Format: clickHouse{}, ContentType: "application/x-ndjson",
		Path: "/", KeyHeader: "X-Clickhouse-Key", Compressions: []string{"gzip", "zstd"},
		Query: map[string]string{
			"query":                            "INSERT INTO heka_metrics FORMAT JSONEachRow",
			"input_format_skip_unknown_fields": "1", // a table may have fewer columns
		},
		TokenParameter: "insert_deduplication_token",
	}
}

type clickHouse struct{}

// Append writes a row for each point. Labels and resource are arrays of keys and
// of values, which every version of the server has.
func (clickHouse) Append(dst []byte, b *metric.Batch) []byte {
	tail := appendKeysAndValues(nil, "resource", b.Resource)
	tail = append(tail, `,"agent_id":`...)
	tail = appendString(tail, b.Agent.ID)
	for _, l := range b.Resource {
		if l.Key == "host.name" {
			tail = appendString(append(tail, `,"host":`...), l.Value)
		}
	}
	tail = append(tail, "}\n"...)
	for i := range b.Series {
		c := &b.Series[i]
		var head []byte
		head = appendString(append(head, `{"name":`...), c.Name)
		head = appendString(append(head, `,"unit":`...), c.Unit)
		head = appendString(append(head, `,"kind":`...), c.Kind.String())
		head = appendKeysAndValues(head, "label", c.Series.Labels)
		for tick, v := range c.Values {
			if v.IsNull() {
				continue
			}
			dst = append(dst, head...)
			dst = strconv.AppendInt(append(dst, `,"start_ms":`...), startOf(b, c, tick), 10)
			dst = strconv.AppendInt(append(dst, `,"time_ms":`...), b.Times[tick], 10)
			dst = v.Append(append(dst, `,"value":`...))
			dst = append(dst, tail...)
		}
	}
	return dst
}

// appendKeysAndValues appends ,"NAME_keys":[…],"NAME_values":[…].
func appendKeysAndValues(dst []byte, name string, labels []metric.Label) []byte {
	dst = append(dst, `,"`+name+`_keys":[`...)
	for i, l := range labels {
		dst = appendString(comma(dst, i), l.Key)
	}
	dst = append(dst, `],"`+name+`_values":[`...)
	for i, l := range labels {
		dst = appendString(comma(dst, i), l.Value)
	}
	return append(dst, ']')
}

// Judge takes an empty 2xx for an acknowledgement. What else it means the code of
// the exception says, whatever the status is: a server may answer 200 and then
// fail, and older ones answer 500 to nearly everything.
func (clickHouse) Judge(_ backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	code := clickHouseCode(a)
	switch {
	case code != 0:
		return clickHouseException(code, a)
	case ok(a) && strings.TrimSpace(string(a.Body)) == "":
		return backend.Judgement{Verdict: backend.Acked}, true
	default:
		return j, false
	}
}

// clickHouseCode returns the code of an exception, 0 for none: of a header, or of
// the text "Code: 60. DB::Exception: …".
func clickHouseCode(a backend.Answer) int {
	text := a.Header.Get("X-Clickhouse-Exception-Code")
	if text == "" {
		if found := regexp.MustCompile(`Code: ([0-9]{1,4})[.,]`).FindSubmatch(a.Body); found != nil {
			text = string(found[1])
		}
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return code
}

const (
	hintClickHouseTable   = "create the table of docs/backends.md, or set the query in HEKA_ENDPOINT to the one you have"
	hintClickHouseSetting = "a server before 22.1 has no insert_deduplication_token: add insert_deduplication_token= to the query of HEKA_ENDPOINT"
	hintClickHouseUser    = "check HEKA_USERNAME and HEKA_PASSWORD, and the user's rights"
)

// clickHouseException judges the codes of ErrorCodes.cpp of the server; others
// are left to the status.
func clickHouseException(code int, a backend.Answer) (j backend.Judgement, known bool) {
	j.Cause = fmt.Sprintf("exception %d", code)
	switch code {
	case 6, 25, 26, 27, 33, 38, 41, 53, 69, 72, 117, 130, 349, 469:
		// Cannot parse, incorrect data, type mismatch, out of bound, constraint.
		j.Verdict = backend.Reject
	case 115: // unknown setting
		j.Verdict, j.Hint = backend.Pause, hintClickHouseSetting
	case 16, 36, 47, 48, 60, 62, 73, 81:
		// No such column, bad arguments, identifier, not implemented, unknown
		// table, syntax error, unknown format, unknown database.
		j.Verdict, j.Hint = backend.Pause, hintClickHouseTable
	case 164, 192, 193, 194, 195, 291, 497, 516:
		// Read-only user, unknown user, password, address, access denied.
		j.Verdict, j.Hint = backend.Pause, hintClickHouseUser
	case 159, 160, 202, 209, 210, 241, 242, 243, 252, 319, 425, 999:
		// Time-outs, too many queries, network, memory, read-only table, no space,
		// too many parts, unknown status of the insert, keeper.
		j.Verdict, j.Overload = backend.Retry, true
	default:
		if !ok(a) {
			return j, false
		}
	}
	if said := clickHouseText(a.Body); said != "" && j.Hint != hintClickHouseUser {
		j.Cause = said
	}
	return j, true
}

// clickHouseText is the exception as the server tells it.
func clickHouseText(body []byte) string {
	text := string(body[:min(len(body), 4<<10)])
	if at := strings.Index(text, "Code: "); at > 0 {
		text = text[at:]
	}
	return strings.TrimSpace(text)
}
