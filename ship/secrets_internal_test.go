package ship

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// spellings are the ways in which a server, or net/http, may repeat a text.
func spellings(text string) map[string]string {
	quoted, _ := json.Marshal(text)
	inner := strings.Trim(string(quoted), `"`)
	twice, _ := json.Marshal(inner)
	ascii := strings.Trim(strconv.QuoteToASCII(text), `"`)
	percent, entities, utf16 := "", "", ""
	for _, b := range []byte(text) {
		percent += fmt.Sprintf("%%%02x", b)
	}
	for _, r := range text {
		entities += fmt.Sprintf("&#x%x;", r)
		if r < 0x10000 {
			utf16 += fmt.Sprintf(`\u%04X`, r)
		} else {
			utf16 += fmt.Sprintf(`\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return map[string]string{
		"raw": text, "JSON": inner, "JSON twice": strings.Trim(string(twice), `"`), "JSON with \\/": strings.ReplaceAll(inner, "/", `\/`),
		"Go": ascii, "query": url.QueryEscape(text), "query twice": url.QueryEscape(url.QueryEscape(text)), "path": url.PathEscape(text),
		"lower case": strings.ToLower(url.QueryEscape(strings.ToLower(text))), "all percent": percent,
		"HTML": html.EscapeString(text), "entities": entities, "UTF-16": utf16,
	}
}

func TestSecretsAreHiddenInEverySpelling(t *testing.T) {
	for _, secret := range []string{
		"s3cr3t-value", `pa"ss\word/+=&%25 <x>`, "ключ-пароль", "pässwörd", "a😀b\u2028c", `x\\\\y\z`, `%%%%25`, "    x    ", "a+b c&d", "0123456789abcdef==",
	} {
		for name, spelled := range spellings(secret) {
			of := secret
			if name == "lower case" {
				of = strings.ToLower(secret)
			}
			for _, around := range []string{"%s", "no such key: %s.", `{"error":"bad key %s","code":7}`, "https://host/?key=%s&x=1", "%s%s"} {
				args := []any{spelled, spelled}[:strings.Count(around, "%s")]
				text := fmt.Sprintf(around, args...)
				marks := []any{redacted, redacted}[:len(args)]
				if got, want := (secrets{of}).redact(text), fmt.Sprintf(around, marks...); got != want {
					t.Errorf("%q as %s: %q became %q, want %q", secret, name, text, got, want)
				}
			}
		}
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	s := secrets{"s3cr3t-value", "token-two"}
	for _, text := range []string{"", "s3cr3t", "the s3cr3t-valuable", "100 % \\ &amp; + s3cr3t_value", "s3c", strings.Repeat("s3cr3t-valu ", 100)} {
		if got := s.redact(text); got != text && !strings.Contains(text, "s3cr3t-value") && !strings.HasSuffix(text, "s3cr3t") {
			t.Errorf("%q became %q", text, got)
		}
	}
	var short secrets
	short.add("abc", "", "abcd", "abcd")
	if len(short) != 1 {
		t.Errorf("%q, want what is long enough, once", short)
	}
}

// What is cut off, wherever, leaves no part of a secret in the cause: not where a
// line is cut, where the body is, or where the server cut it.
func TestNoHalfOfASecretStays(t *testing.T) {
	secret := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 20)
	for _, lead := range []int{0, 1, 150, 190, 195, 199, 200, 201, 4000, 4096, 8000, 8190} {
		for _, cut := range []int{len(secret), len(secret) / 2, 5} {
			body := strings.Repeat("x", lead) + secret[:cut]
			o := outcomeOf(answer{status: 400, body: []byte(body), secrets: secrets{secret}})
			if strings.Contains(o.Cause, secret[:5]) || lead < 150 && !strings.Contains(o.Cause, redacted) {
				t.Errorf("after %d bytes, cut at %d: %q", lead, cut, o.Cause)
			}
		}
	}
	many := strings.Repeat(secret+" ", 30)
	if o := outcomeOf(answer{status: 500, body: []byte(many), secrets: secrets{secret}}); strings.Contains(o.Cause, secret[:5]) {
		t.Errorf("of many: %q", o.Cause)
	}
}

// Whatever the answer, and whichever backend judges it, what is said of it holds
// no secret.
func TestCausesHoldNoSecret(t *testing.T) {
	const secret = `k3y"with\and/`
	escaped, _ := json.Marshal(secret)
	inner := strings.Trim(string(escaped), `"`)
	headers := http.Header{"Location": {"https://other.example/login/" + url.PathEscape(secret)}, "X-Clickhouse-Exception-Code": {"62"}}
	for _, to := range encode.Backends() {
		for _, status := range []int{200, 202, 204, 302, 307, 400, 401, 403, 404, 413, 415, 422, 429, 500, 503} {
			for _, body := range []string{
				"bad key " + secret, `{"error":"` + inner + `"}`, `{"errors":["` + inner + `"]}`, `{"text":"` + inner + `","code":6}`,
				`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"x","reason":"` + inner + `"}}}]}`,
				`{"batch_id":"ab","points":0,"rejected":[{"series":0,"reason":"` + inner + `"}]}`,
				`{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"` + inner + `"}}`,
				"Code: 62. DB::Exception: " + secret, "<title>" + url.QueryEscape(secret), inner + "\n" + inner,
			} {
				o, _ := classify(answer{status: status, header: headers, body: []byte(body), secrets: secrets{secret}}, backend.Sent{ID: "ab", Points: 5, Batch: nil}, withoutBatch{to.Format})
				for name, spelled := range spellings(secret) {
					if strings.Contains(o.Cause+o.Hint, spelled) {
						t.Errorf("%s, %d %s: the cause %q has the secret (%s)", to.Name, status, body, o.Cause, name)
					}
				}
			}
		}
	}
	for _, err := range []error{
		errors.New(`failed to parse Location header "https://h/?key=` + url.QueryEscape(secret) + `": no`),
		fmt.Errorf("malformed HTTP response %q", "HTTP/1.1 "+secret),
		&configError{errors.New("bad " + secret), "fix it"},
		&url.Error{Op: "Post", URL: "https://h/?key=" + url.QueryEscape(secret), Err: errors.New("net/http: invalid header field value for " + strconv.Quote(secret))},
	} {
		o := outcomeOf(answer{err: err, secrets: secrets{secret}})
		if !strings.Contains(o.Cause, redacted) || strings.Contains(o.Cause, "k3y") || len(o.Cause) > 300 {
			t.Errorf("%v: cause %q", err, o.Cause)
		}
	}
}

// Whatever is sent as the endpoint's query is hidden, also where it is no query by
// the rules, and where a key stands alone.
func TestEveryPartOfAQueryIsASecret(t *testing.T) {
	own := func(name string) bool { return name == "query" || name == "a b" }
	for query, want := range map[string]secrets{
		"key=k3y-one&b=k3y-two": {"k3y-one", "k3y-two"},
		"key=k3y%2Done":         {"k3y-one"},
		"key=k3y+one":           {"k3y one"},
		"key=100%k3y":           {"100%k3y"},
		"key=k3y;one":           {"k3y;one"},
		"key=k3y-one;b=k3y-two": {"k3y-one", "k3y-two"},
		"k3y-alone":             {"k3y-alone"},
		"k3y-alone&x=1":         {"k3y-alone"},
		"=k3y-alone":            {"k3y-alone"},
		"query=INSERT&a+b=text": nil,
		"query=INSERT;key=k3y1": {"k3y1"},
	} {
		var s secrets
		s.addQuery(&url.URL{RawQuery: query}, own)
		for _, secret := range want {
			if got := s.redact("it says " + secret + "."); got != "it says [redacted]." {
				t.Errorf("%s: %q, of the secrets %q", query, got, s)
			}
		}
		if want == nil && len(s) != 0 {
			t.Errorf("%s: secrets %q, want none", query, s)
		}
	}
}

// withoutBatch keeps formats from looking into a batch that is not there.
type withoutBatch struct{ backend.Format }

func (f withoutBatch) Judge(sent backend.Sent, a backend.Answer) (j backend.Judgement, known bool) {
	defer func() {
		if recover() != nil {
			known = false
		}
	}()
	return f.Format.Judge(sent, a)
}
