package ship_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// A key in the endpoint's query is as secret as one in a header, in whatever form
// the endpoint repeats it; what the backend itself has in its query is none.
func TestAKeyInTheQueryIsASecret(t *testing.T) {
	const key = `k3y/with+"all"&more`
	for _, status := range []int{200, 302, 400, 404, 413, 415, 422, 429, 500, 503} {
		for name, repeat := range map[string]func(r *http.Request) string{
			"URL":     func(r *http.Request) string { return r.URL.String() },
			"raw":     func(r *http.Request) string { return r.URL.Query().Get("api_key") },
			"JSON":    func(r *http.Request) string { text, _ := json.Marshal(r.URL.Query()); return string(text) },
			"cut off": func(r *http.Request) string { return strings.Repeat("x", 190) + r.URL.Query().Get("api_key") },
		} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "https://elsewhere.example"+r.URL.Path+"#"+r.URL.RawQuery)
				w.WriteHeader(status)
				_, _ = w.Write([]byte("cannot take " + repeat(r)))
			}))
			o := send(t, clientConfig(parse(t, server.URL+"/?api_key="+url.QueryEscape(key))))
			server.Close()
			if strings.Contains(o.Cause+o.Hint, "k3y") {
				t.Errorf("%d, %s: %+v", status, name, o)
			}
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("Code: 62. DB::Exception: Syntax error in " + r.URL.Query().Get("query") + " of " + r.URL.Query().Get("password")))
	}))
	defer server.Close()
	cfg := clientConfig(parse(t, server.URL+"/?query=INSERT+INTO+table&password=hunter2"))
	cfg.Backend, cfg.Decode = encode.ClickHouse(), encode.Native{}.Decode
	if o := sendBatch(t, cfg); !strings.Contains(o.Cause, "INSERT INTO table of [redacted]") {
		t.Errorf("%+v, want the query and no password", o)
	}
}
