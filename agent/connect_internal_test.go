package agent

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

func TestConfiguredMaxAgeReplacesTheBackends(t *testing.T) {
	for _, known := range encode.Backends() {
		for _, want := range []time.Duration{0, time.Minute} {
			to, err := backendOf(known.Name, HTTPConfig{MaxAge: want})
			if err != nil || to.Limits.MaxAge != want || to.Limits.MaxAhead != known.Limits.MaxAhead {
				t.Errorf("%s: limits %+v and error %v with HEKA_BACKEND_MAX_AGE=%v", known.Name, to.Limits, err, want)
			}
		}
	}
	if _, err := backendOf("graphite", HTTPConfig{}); err == nil {
		t.Error("graphite is a backend")
	}
}

// The headers of a file are read again when it changes, and when the server has
// refused them; a credential that is configured wins over one in the file.
func TestHeadersFileIsReadAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "headers")
	hold := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	to, _ := encode.Find("heka")
	auth := credential{AuthConfig{APIKey: NewSecretValue(NewSecret("key"))}, NewSecretFile(name), to}
	sends := func(refused bool, want http.Header) {
		t.Helper()
		got := http.Header{}
		if err := auth.authorize(got, refused); err != nil || !maps.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Errorf("headers %v, error %v; want %v", got, err, want)
		}
	}
	now := time.Now()
	hold("x-scope=one,x-api-key=theirs\n", now)
	sends(false, http.Header{"X-Scope": {"one"}, "X-Api-Key": {"key"}})
	if auth.changed() {
		t.Error("changed, and nobody touched it")
	}
	hold("x-scope=two", now.Add(time.Second))
	if !auth.changed() {
		t.Error("not changed, and it was replaced")
	}
	sends(false, http.Header{"X-Scope": {"two"}, "X-Api-Key": {"key"}})
	hold("x-scope=777", now.Add(time.Second)) // looks the same
	sends(true, http.Header{"X-Scope": {"777"}, "X-Api-Key": {"key"}})
	for _, bad := range []string{"hunter2", "host=hunter2", "", "x-a=hunter2\nx-b=1"} {
		now = now.Add(time.Minute)
		hold(bad, now)
		if err := auth.authorize(http.Header{}, false); err == nil || !strings.HasPrefix(err.Error(), "HEKA_HEADERS_FILE: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
