package agent

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

// checkEffects warns of variables that are set, and of which nothing comes.
func (l *loader) checkEffects(list []variable) {
	h := &l.env.Heka
	for _, v := range list {
		from := *v.setting.origin()
		byHand := from == SourceEnvironment || from == SourceEnvFile
		if !byHand || strings.TrimSpace(os.Getenv(v.name)) == v.tag.Get("default") {
			continue // a default that is spelled out does no harm
		}
		for _, of := range collectorVariables() {
			if of.names.MatchString(v.name) && !slices.Contains(h.Collectors.Value, of.collector) {
				l.warn("%s: has no effect, since the collector %s is not on; add +%s to HEKA_COLLECTORS, or leave it out", v.name, of.collector, of.collector)
			}
		}
		if deliveryVariables.MatchString(v.name) && h.Exporter.Value == "console" {
			l.warn("%s: has no effect, since nothing is sent; set HEKA_ENDPOINT and no HEKA_EXPORTER=console, or leave it out", v.name)
		}
	}
}

// collectorVariables are those that count for one collector alone.
func collectorVariables() []struct {
	collector string
	names     *regexp.Regexp
} {
	return []struct {
		collector string
		names     *regexp.Regexp
	}{
		{"cpu", regexp.MustCompile(`^HEKA_CPU_`)},
		{"disk", regexp.MustCompile(`^HEKA_DISK_`)},
		{"filesystem", regexp.MustCompile(`^HEKA_FILESYSTEM_`)},
		{"network", regexp.MustCompile(`^HEKA_NETWORK_`)},
		{"process", regexp.MustCompile(`^HEKA_PROCESS_`)},
		{"agent", regexp.MustCompile(`^HEKA_SELF_METRICS$`)},
		{"textfile", regexp.MustCompile(`^HEKA_TEXTFILE_`)},
	}
}

// deliveryVariables are those that only count where batches are sent.
var deliveryVariables = regexp.MustCompile(`^HEKA_(ENDPOINT|HEADERS|API_KEY|BEARER_TOKEN|USERNAME|PASSWORD|TLS_|BACKEND_MAX_AGE)`)
