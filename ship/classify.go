package ship

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

const (
	hintProxyAuth = "give the proxy's user and password in HTTPS_PROXY"
	hintPortal    = "is HEKA_ENDPOINT the backend itself, with no portal or proxy in between, and HEKA_EXPORTER its format?"
)

// HintNothingAccepted is what to do about an endpoint that refuses all it is sent.
const HintNothingAccepted = "nothing is accepted: check HEKA_ENDPOINT and HEKA_EXPORTER, and the limits of the backend and of proxies"

// judge is a backend's own rule for an answer.
type judge interface {
	Judge(sent backend.Sent, a backend.Answer) (j backend.Judgement, known bool)
}

// classify turns an answer to what was sent into an outcome. It is a pure
// function; the table it implements is in docs/delivery.md. again are the points
// that the backend did not take, beside those it took.
func classify(a answer, sent backend.Sent, format judge) (o Outcome, again []metric.Place) {
	if a.err != nil {
		o = classifyError(a)
		o.Cause = firstLine([]byte(o.Cause), a.secrets)
		return o, nil
	}
	o, known := classifyTLSAnswer(a)
	if !known {
		var j backend.Judgement
		if j, known = a.judgedBy(format, sent); known {
			o, again = judged(a, j), j.Again
		} else {
			o = classifyStatus(a)
		}
	}
	o.Status = a.status
	if o.Verdict == Retry {
		o.After = retryAfter(a.header)
	}
	if said := firstLine(a.body, a.secrets); !known && said != "" && !isAboutCredentials(a.status) {
		o.Cause += ": " + said
	}
	return o, again
}

// judgedBy asks the format. A body that could not be decoded is not an empty one,
// which for some backends acknowledges.
func (a *answer) judgedBy(format judge, sent backend.Sent) (backend.Judgement, bool) {
	if a.unread != nil && a.status < 300 {
		return backend.Judgement{Cause: "its body cannot be read: " + a.unread.Error()}, true
	}
	return format.Judge(sent, backend.Answer{Status: a.status, Header: a.header, Body: a.body})
}

// judged is the outcome by the backend's own rule.
func judged(a answer, j backend.Judgement) Outcome {
	o := Outcome{
		Verdict: j.Verdict, Cause: firstLine([]byte(j.Cause), a.secrets), Hint: j.Hint, Overload: j.Overload,
		RejectedPoints: j.Rejected.Points, RejectedSeries: j.Rejected.Series, RejectedPlaces: j.Rejected.Places,
	}
	switch {
	case j.Verdict == Acked:
		o.Cause = firstLine([]byte(j.Rejected.Reason), a.secrets)
	case a.status >= 300:
		o.Cause = fmt.Sprintf("the endpoint answered %d %s: %s", a.status, http.StatusText(a.status), o.Cause)
	default:
		o.Cause = fmt.Sprintf("the endpoint answered %d, but %s", a.status, o.Cause)
		o.Hint = cmp.Or(o.Hint, hintPortal)
	}
	return o
}

// isAboutCredentials marks the answers whose body may repeat, in part, what was
// wrong with a secret.
func isAboutCredentials(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired
}

func classifyStatus(a answer) Outcome {
	cause := fmt.Sprintf("the endpoint answered %d %s", a.status, http.StatusText(a.status))
	switch s := a.status; {
	case s >= 200 && s < 300:
		return Outcome{Verdict: Retry, Cause: fmt.Sprintf("the endpoint answered %d, but not as this backend does", s), Hint: hintPortal}
	case s >= 300 && s < 400:
		cause += " (a redirect to " + redirectTarget(a) + ")"
		return Outcome{Verdict: Pause, Cause: cause, Hint: "set HEKA_ENDPOINT to where it leads, if that is right"}
	case s == http.StatusProxyAuthRequired:
		return Outcome{Verdict: Pause, Cause: cause, Hint: hintProxyAuth}
	case isAboutCredentials(s):
		return Outcome{
			Verdict: Pause, Cause: cause, Hint: "check HEKA_API_KEY, HEKA_BEARER_TOKEN or HEKA_USERNAME and HEKA_PASSWORD",
			MayBeContent: s == http.StatusForbidden, // of a web application firewall
		}
	case s == http.StatusUnsupportedMediaType:
		return Outcome{Verdict: Unsupported, Cause: cause, Hint: "check HEKA_EXPORTER, and that HEKA_ENDPOINT takes its format"}
	case s == http.StatusRequestEntityTooLarge:
		return Outcome{Verdict: TooLarge, Cause: cause}
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed, s == http.StatusGone,
		s == http.StatusNotImplemented, s == http.StatusHTTPVersionNotSupported:
		return Outcome{Verdict: Pause, Cause: cause, Hint: "check the path of HEKA_ENDPOINT, and HEKA_EXPORTER"}
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable:
		return Outcome{Verdict: Retry, Cause: cause, Hint: "the backend asks for less: look at its load", Overload: true}
	case s >= 500, s < 200, s == http.StatusRequestTimeout, s == http.StatusConflict, s == http.StatusTooEarly:
		return Outcome{
			Verdict: Retry, Cause: cause, Hint: "look at the log of the backend, or of the proxy before it",
			MayBeContent: s >= 500 && s != http.StatusBadGateway && s != http.StatusGatewayTimeout,
		}
	default:
		return Outcome{Verdict: Reject, Cause: cause}
	}
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3): seconds, or a date
// less the response's own Date, so that this machine's clock does not matter. Of
// several the longest counts. It returns 0 for what it cannot read, and for the
// past.
func retryAfter(h http.Header) (after time.Duration) {
	for _, value := range h.Values("Retry-After") {
		value = strings.TrimSpace(value)
		if seconds, ok := secondsOf(value); ok {
			after = max(after, seconds)
			continue
		}
		until, err := http.ParseTime(value)
		date, errDate := http.ParseTime(h.Get("Date"))
		if err == nil && errDate == nil {
			after = max(after, until.Sub(date))
		}
	}
	return after
}

// secondsOf reads a number in any form: 120, 1.5, 1e3, or beyond all bounds.
func secondsOf(text string) (time.Duration, bool) {
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false // nor are NaN, Inf and hexadecimal numbers
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	const most = float64(math.MaxInt64 / int64(time.Second))
	return time.Duration(min(max(seconds, 0), most) * float64(time.Second)), true
}

func redirectTarget(a answer) string {
	location := a.header.Get("Location")
	if location == "" {
		return "nowhere"
	}
	location, _, _ = strings.Cut(location, "?") // a query may carry a token
	return firstLine([]byte(location), a.secrets)
}

// firstLine takes what a log line can hold of a text that says something to
// people: the first line, without secrets, printable, at most 200 bytes. Markup
// says nothing. Secrets are taken out before anything is cut off: of half a secret
// nobody could tell what it is.
func firstLine(text []byte, hide secrets) string {
	line := hide.redact(strings.TrimSpace(string(text[:min(len(text), 8<<10)])))
	line, _, _ = strings.Cut(line, "\n")
	if strings.HasPrefix(line, "<") {
		return ""
	}
	line = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, line)
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "") + "…"
	}
	return line
}
