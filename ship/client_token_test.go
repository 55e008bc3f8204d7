package ship_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// The batch id goes where the backend wants it, unless the endpoint says that it
// wants none.
func TestTokenParameter(t *testing.T) {
	for raw, want := range map[string]string{
		"":             "token=00ab",
		"?b=%2B&a":     "a=&b=%2B&token=00ab",
		"?token=x":     "token=00ab",
		"?token=":      "",
		"?token&b=%2B": "b=%2B",
	} {
		var got string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.URL.RawQuery
			acknowledges(w, r)
		}))
		cfg := clientConfig(parse(t, server.URL+"/"+raw))
		cfg.Backend = encode.Heka()
		cfg.Backend.TokenParameter = "token"
		if o := send(t, cfg); o.Verdict != ship.Acked || got != want {
			t.Errorf("%q: query %q, want %q; %+v", raw, got, want, o)
		}
		server.Close()
	}
}
