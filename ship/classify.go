package ship

import (
	"cmp"
	"fmt"
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

// answer is what classify judges: all of a response that matters, or the
// error that came instead.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// judge is a backend's own rule for an answer.
type judge interface {
	Judge(sent backend.Sent, a backend.Answer) (j backend.Judgement, known bool)
}

// classify turns an answer to what was sent into an outcome. It is a pure
// function; the table it implements is in docs/delivery.md. again are the points
// that the backend did not take, beside those it took.
func classify(a answer, sent backend.Sent, format judge) (o Outcome, again []metric.Place) {
	if a.err != nil {
		return classifyError(a.err), nil
	}
	j, known := format.Judge(sent, backend.Answer{Status: a.status, Header: a.header, Body: a.body})
	if known {
		o, again = judged(a, j), j.Again
	} else {
		o = classifyStatus(a)
	}
	o.Status = a.status
	if o.Verdict == Retry {
		o.After = retryAfter(a.header)
	}
	if said := firstLine(a.body); !known && said != "" && !isAboutCredentials(a.status) {
		o.Cause += ": " + said
	}
	return o, again
}

// judged is the outcome by the backend's own rule.
func judged(a answer, j backend.Judgement) Outcome {
	o := Outcome{
		Verdict: j.Verdict, Cause: firstLine([]byte(j.Cause)), Hint: j.Hint, Overload: j.Overload,
		RejectedPoints: j.Rejected.Points, RejectedSeries: j.Rejected.Series, RejectedPlaces: j.Rejected.Places,
	}
	switch {
	case j.Verdict == Acked:
		o.Cause = firstLine([]byte(j.Rejected.Reason))
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
		cause += " (a redirect to " + redirectTarget(a.header) + ")"
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
// less the response's own Date, so that this machine's clock does not matter.
// It returns 0 for what it cannot read, and for the past.
func retryAfter(h http.Header) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		const most = int64(time.Duration(1<<63-1) / time.Second)
		return time.Duration(min(max(seconds, 0), most)) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(until.Sub(date), 0)
}

func redirectTarget(h http.Header) string {
	location := h.Get("Location")
	if location == "" {
		return "nowhere"
	}
	location, _, _ = strings.Cut(location, "?") // a query may carry a token
	return firstLine([]byte(location))
}

// firstLine takes what a log line can hold of an error body that says
// something to people: the first line, printable, at most 200 bytes. Markup
// says nothing.
func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body[:min(len(body), 4<<10)])), "\n")
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
