package encode

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// ClickHouse is the HTTP interface of a ClickHouse server or cluster
// (https://clickhouse.com/docs/interfaces/http), with the table heka_metrics of
// docs/backends.md. A batch that comes twice is stored once as far as that table
// goes by the token, which servers know from version 22.1 on.
func ClickHouse() backend.Backend {
	return backend.Backend{
		Name: "clickhouse", Format: clickHouse{}, ContentType: "application/x-ndjson",
		Query:          map[string]string{"query": "INSERT INTO heka_metrics FORMAT JSONEachRow"},
		TokenParameter: "insert_deduplication_token",
		KeyHeader:      "X-Clickhouse-Key", Compressions: []string{"gzip"},
	}
}

type clickHouse struct{}

// maxExact is the largest integer up to which a Float64 holds them all.
const maxExact = 1 << 53

// Append writes one row a point.
func (clickHouse) Append(dst []byte, b *metric.Batch) []byte {
	for i := range b.Series {
		c := &b.Series[i]
		from, to := 0, 0 // where dst holds the end of the series' rows
		for tick, v := range c.Values {
			if v.IsNull() {
				continue
			}
			dst = append(dst, `{"time_ms":`...)
			dst = strconv.AppendInt(dst, b.Times[tick], 10)
			dst = append(dst, `,"value":`...)
			dst = v.Append(dst)
			if n := v.Int64(); n > maxExact || n < -maxExact {
				dst = append(dst, `,"value_int":`...)
				dst = v.Append(dst)
			}
			if to == 0 {
				from = len(dst)
				dst = appendClickHouseSeries(dst, c, b)
				to = len(dst)
			} else {
				dst = append(dst, dst[from:to]...)
			}
		}
	}
	return dst
}

// appendClickHouseSeries appends what all rows of a series end with.
func appendClickHouseSeries(dst []byte, c *metric.Column, b *metric.Batch) []byte {
	dst = append(dst, `,"name":`...)
	dst = appendString(dst, c.Name)
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, c.Kind.String()...)
	dst = append(dst, `","unit":`...)
	dst = appendString(dst, c.Unit)
	if start := cmp.Or(c.StartMS, b.StartMS); c.Kind == metric.Counter && start != 0 {
		dst = append(dst, `,"start_ms":`...)
		dst = strconv.AppendInt(dst, start, 10)
	}
	dst = appendClickHouseLabels(dst, "label", c.Series.Labels)
	dst = append(dst, `,"agent_id":`...)
	dst = appendString(dst, b.Agent.ID)
	dst = append(dst, `,"host":`...)
	dst = appendString(dst, valueOf(b.Resource, "host.name"))
	dst = appendClickHouseLabels(dst, "resource", b.Resource)
	return append(dst, "}\n"...)
}

// appendClickHouseLabels appends two arrays, which every version of ClickHouse
// has, where only newer ones have maps.
func appendClickHouseLabels(dst []byte, what string, labels []metric.Label) []byte {
	dst = append(dst, `,"`+what+`_keys":[`...)
	for i, l := range labels {
		dst = appendString(comma(dst, i), l.Key)
	}
	dst = append(dst, `],"`+what+`_values":[`...)
	for i, l := range labels {
		dst = appendString(comma(dst, i), l.Value)
	}
	return append(dst, ']')
}

// valueOf returns the value of the first label with the key; "" if none has it.
func valueOf(labels []metric.Label, key string) string {
	for _, l := range labels {
		if l.Key == key {
			return l.Value
		}
	}
	return ""
}

// Judge takes an empty 200 for an acknowledgement: how many rows were written, a
// server does not tell reliably (an asynchronous insert says 0). A server may also fail after
// it answered 200: the exception is in the body then. An exception's code says
// more than its status, which differs between versions.
func (clickHouse) Judge(_ backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	body := strings.TrimSpace(string(a.Body))
	code, failed := clickHouseCode(a, body)
	if !failed {
		if a.Status != http.StatusOK || body != "" {
			return j, false
		}
		return backend.Judgement{Verdict: backend.Acked}, true
	}
	if j, known = clickHouseException(code, body); known {
		return j, true
	}
	if !ok(a) {
		return j, false
	}
	return backend.Judgement{Cause: body, Hint: hintClickHouse}, true
}

const (
	hintClickHouse      = "look at the log of the ClickHouse server"
	hintClickHouseTable = "create the table of docs/backends.md, or set query= and database= in HEKA_ENDPOINT"
	hintClickHouseUser  = "check HEKA_USERNAME and HEKA_PASSWORD, and that this user may INSERT into the table"
	hintClickHouseToken = "ClickHouse before 22.1 has no insert_deduplication_token: end HEKA_ENDPOINT with ?insert_deduplication_token= to send none"
)

// clickHouseCode finds the code of an exception: in a header, or in servers of
// before 2021 in the body alone.
func clickHouseCode(a backend.Answer, body string) (code int, failed bool) {
	if code, err := strconv.Atoi(a.Header.Get("X-Clickhouse-Exception-Code")); err == nil && code != 0 {
		return code, true
	}
	_, after, found := strings.Cut(body, "Code: ")
	digits := strings.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })
	if !found || digits < 1 || !strings.Contains(after, "DB::") {
		return 0, false
	}
	code, err := strconv.Atoi(after[:digits])
	return code, err == nil
}

// clickHouseException judges the codes of src/Common/ErrorCodes.cpp that an
// INSERT meets.
func clickHouseException(code int, body string) (j backend.Judgement, known bool) {
	cause := cmp.Or(body, fmt.Sprintf("exception %d", code))
	switch code {
	case 117: // INCORRECT_DATA, which a column that is missing is too
		if strings.Contains(body, "Unknown field") {
			return backend.Judgement{Verdict: backend.Pause, Cause: cause, Hint: hintClickHouseTable}, true
		}
		return backend.Judgement{Verdict: backend.Reject, Cause: cause}, true
	case 6, 26, 27, 38, 41, 53, 69, 70, 72, // CANNOT_PARSE_…, TYPE_MISMATCH, ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE
		128, 131, 190, 321, 349, 469: // TOO_LARGE_…, SIZES_OF_ARRAYS_…, VALUE_…, CANNOT_INSERT_NULL, VIOLATED_CONSTRAINT
		return backend.Judgement{Verdict: backend.Reject, Cause: cause}, true
	case 16, 47, 60, 62, 73, 81: // NO_SUCH_COLUMN, UNKNOWN_IDENTIFIER, _TABLE, SYNTAX_ERROR, UNKNOWN_FORMAT, _DATABASE
		return backend.Judgement{Verdict: backend.Pause, Cause: cause, Hint: hintClickHouseTable}, true
	case 115: // UNKNOWN_SETTING
		hint := "remove this setting from HEKA_ENDPOINT"
		if body == "" || strings.Contains(body, "insert_deduplication_token") {
			hint = hintClickHouseToken
		}
		return backend.Judgement{Verdict: backend.Pause, Cause: cause, Hint: hint}, true
	case 164, 452: // READONLY, SETTING_CONSTRAINT_VIOLATION
		return backend.Judgement{Verdict: backend.Pause, Cause: cause, Hint: hintClickHouseUser}, true
	case 192, 193, 194, 195, 497, 516: // UNKNOWN_USER, passwords, IP_ADDRESS_NOT_ALLOWED, ACCESS_DENIED, AUTHENTICATION_FAILED
		cause = fmt.Sprintf("the user is not let in (exception %d)", code) // the body may hold a secret
		return backend.Judgement{Verdict: backend.Pause, Cause: cause, Hint: hintClickHouseUser}, true
	case 159, 160, 201, 202, 203, 209, 210, 225, 241, 242, 243, 252, 285, 319, 425, 999:
		// Timeouts, network, quota, too many queries, memory, space, parts,
		// replicas, Keeper.
		return backend.Judgement{Cause: cause, Hint: hintClickHouse, Overload: true}, true
	default:
		return j, false
	}
}
