package agent

import (
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
