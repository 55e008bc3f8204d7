package ship

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// outcomeOf judges an answer as the native backend does.
func outcomeOf(a answer) Outcome {
	o, _ := classify(a, backend.Sent{}, encode.Native{})
	return o
}

func TestClassifyStatus(t *testing.T) {
	verdicts := map[Verdict][]int{
		Pause:       {301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 410, 501, 505},
		Retry:       {408, 409, 425, 429, 500, 502, 503, 504, 507, 529, 599},
		Reject:      {400, 402, 406, 411, 414, 418, 422, 423, 431, 451},
		TooLarge:    {413},
		Unsupported: {415},
	}
	for want, statuses := range verdicts {
		for _, status := range statuses {
			o := outcomeOf(answer{status: status})
			if o.Verdict != want {
				t.Errorf("%d: verdict %v, want %v", status, o.Verdict, want)
			}
			if !strings.Contains(o.Cause, fmt.Sprint(status)) || o.Status != status {
				t.Errorf("%d: cause %q, status %d do not name it", status, o.Cause, o.Status)
			}
			if want == Pause && o.Hint == "" {
				t.Errorf("%d: a pause without a hint", status)
			}
			if content := status == 403 || want == Retry && status >= 500 && status != 502 && status != 503 && status != 504; o.MayBeContent != content {
				t.Errorf("%d: may be about the content: %v, want %v", status, o.MayBeContent, content)
			}
			if overload := status == 429 || status == 503; o.Overload != overload {
				t.Errorf("%d: overload %v, want %v", status, o.Overload, overload)
			}
		}
	}
}

func TestOnlyTheBackendsOwnWordIsAnAck(t *testing.T) {
	sent := backend.Sent{ID: "ab", Points: 5}
	cases := []struct {
		body string
		want Outcome
	}{
		{`{"batch_id":"ab","status":"accepted","points":5}`, Outcome{Verdict: Acked}},
		{`{"batch_id":"ab","points":3,"rejected":[{"series":0,"reason":"too old"}]}`, Outcome{Verdict: Acked, RejectedPoints: 2, Cause: "too old"}},
		{`{"batch_id":"cd","points":5}`, Outcome{}},
		{`<html>Welcome to the airport</html>`, Outcome{}},
		{``, Outcome{}},
	}
	for _, c := range cases {
		got, _ := classify(answer{status: 200, body: []byte(c.body)}, sent, encode.Native{})
		if got.Verdict != c.want.Verdict || got.RejectedPoints != c.want.RejectedPoints {
			t.Errorf("200 %s: %+v, want %+v", c.body, got, c.want)
		}
		if c.want.Cause != "" && got.Cause != c.want.Cause {
			t.Errorf("200 %s: cause %q, want %q", c.body, got.Cause, c.want.Cause)
		}
	}
}

func TestClassifyErrors(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	cases := []struct {
		err     error
		verdict Verdict
		says    string
	}{
		{refused, Retry, "connection refused"},
		{&net.DNSError{Name: "ingest.example"}, Retry, "ingest.example"},
		{context.DeadlineExceeded, Retry, "timed out"},
		{os.ErrDeadlineExceeded, Retry, "timed out"},
		{context.Canceled, Retry, "cancelled"},
		{errors.New("http2: GOAWAY"), Retry, "GOAWAY"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, Pause, "HEKA_TLS_CA_FILE"},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other"}}, Host: "h"}}, Pause, "HEKA_TLS_SERVER_NAME"},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{Subject: pkix.Name{CommonName: "h"}}, Host: "h"}}, Pause, "subject alternative names"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, Pause, "expired"},
		{http.ErrSchemeMismatch, Pause, "HEKA_ENDPOINT"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, Pause, "HEKA_TLS_CERT_FILE"},
		{&configError{errors.New("no key"), "do this"}, Pause, "do this"},
	}
	for _, c := range cases {
		wrapped := &url.Error{Op: "Post", URL: "https://user:hunter2@host/?token=hunter2", Err: c.err}
		o := outcomeOf(answer{err: wrapped})
		if said := o.Cause + " " + o.Hint; o.Verdict != c.verdict || !strings.Contains(said, c.says) {
			t.Errorf("%v: verdict %v, %q; want %v with %q", c.err, o.Verdict, said, c.verdict, c.says)
		}
		if strings.Contains(o.Cause, "hunter2") {
			t.Errorf("%v: a secret of the URL is in the cause", c.err)
		}
	}
}

func TestCausesAreOneCleanLine(t *testing.T) {
	body := "bad thing\x1b[31m\nsecond line"
	o := outcomeOf(answer{status: 400, body: []byte(body)})
	if !strings.HasSuffix(o.Cause, "bad thing[31m") {
		t.Errorf("cause = %q", o.Cause)
	}
	long := outcomeOf(answer{status: 400, body: []byte(strings.Repeat("é", 5000))})
	if len(long.Cause) > 300 {
		t.Errorf("a cause of %d bytes", len(long.Cause))
	}
	html := outcomeOf(answer{status: 502, body: []byte("<html>…")})
	if strings.Contains(html.Cause, "<") {
		t.Errorf("cause = %q, want no markup", html.Cause)
	}
	redirect := answer{status: 302, header: http.Header{"Location": {"https://portal/login?token=hunter2"}}}
	if o := outcomeOf(redirect); strings.Contains(o.Cause, "hunter2") || !strings.Contains(o.Cause, "portal") {
		t.Errorf("cause = %q, want the target without its query", o.Cause)
	}
}

// A proxy that opens no tunnel is for a person to fix, unless it is only in
// trouble; the cause says that it was the proxy.
func TestAProxyThatOpensNoTunnel(t *testing.T) {
	for status, want := range map[int]struct {
		verdict Verdict
		hint    string
	}{
		407: {Pause, hintProxyAuth},
		401: {Pause, hintProxyAuth},
		403: {Pause, "NO_PROXY"},
		405: {Pause, "NO_PROXY"},
		502: {Retry, ""},
		503: {Retry, ""},
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect {
				t.Errorf("the proxy got a %s", r.Method)
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(proxy.Close)
		transport, err := newTransport(newTLSFiles(TLSConfig{}), nil)
		if err != nil {
			t.Fatal(err)
		}
		via, err := url.Parse(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		transport.Proxy = http.ProxyURL(via)
		_, err = (&http.Client{Transport: transport}).Post("https://ingest.invalid/", "", nil)
		o := outcomeOf(answer{err: err})
		if o.Verdict != want.verdict || !strings.Contains(o.Hint, want.hint) || !strings.Contains(o.Cause, fmt.Sprint("the proxy answered ", status)) {
			t.Errorf("CONNECT answered %d: %+v, want verdict %v, hint %q", status, o, want.verdict, want.hint)
		}
	}
}
