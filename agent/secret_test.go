package agent_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/agent"
	"github.com/rs/zerolog"
)

const marker = "hunter2hunter2"

func secretFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSecretNeverPrints(t *testing.T) {
	secret := agent.NewSecret(marker)
	source := agent.NewSecretFile(secretFile(t, marker))
	if _, err := source.Get(); err != nil {
		t.Fatal(err)
	}
	type hidden struct{ inner any }
	type unexported struct{ secret agent.Secret }
	var out bytes.Buffer
	for _, v := range []any{
		secret, &secret,
		[]agent.Secret{secret},
		map[string]agent.Secret{"k": secret},
		unexported{secret},
		&unexported{secret},
		hidden{secret},
		source,
		hidden{source},
		agent.AuthConfig{APIKey: source},
		agent.Header{Name: "X", Value: secret},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Fatal(err)
		}
		log := zerolog.New(&out)
		log.Info().Interface("a", v).Any("b", v).Str("c", fmt.Sprint(v)).Msgf("%v", v)
	}
	zlog := zerolog.New(&out)
	zlog.Info().Stringer("s", secret).Err(fmt.Errorf("with %v", secret)).Send()
	out.WriteString(secret.String() + secret.GoString() + source.String())
	for _, form := range []string{marker, fmt.Sprintf("%x", marker), fmt.Sprintf("%X", marker)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%s is in\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing says [redacted]")
	}
	if got := secret.Reveal(); got != marker {
		t.Errorf("Reveal() = %q", got)
	}
	if zero := (agent.Secret{}); !zero.IsZero() || zero.Reveal() != "" || fmt.Sprint(zero) != "" {
		t.Errorf("the zero Secret is %q, %v", zero.Reveal(), zero)
	}
}

func TestSecretFile(t *testing.T) {
	name := secretFile(t, "first\r\n")
	source := agent.NewSecretFile(name)
	want := func(text string, get func() (string, error)) {
		t.Helper()
		if got, err := get(); got != text || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
	}
	want("first", source.Get)

	// The same size and time: only a forced read can tell.
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, "later\r\n", info.ModTime())
	want("first", source.Get)
	want("later", source.Reload)

	if source.Changed() {
		t.Error("changed, though it was just read")
	}
	write(t, name, "third\r\n", info.ModTime().Add(time.Second))
	if !source.Changed() {
		t.Error("not changed, though it is newer")
	}
	want("third", source.Get)

	// As Kubernetes does it: another file under the same name.
	other := secretFile(t, "forth\r\n")
	write(t, other, "forth\r\n", info.ModTime().Add(time.Second))
	if err := os.Rename(other, name); err != nil {
		t.Fatal(err)
	}
	want("forth", source.Get)

	write(t, name, "\n", info.ModTime())
	if got, err := source.Get(); got != "" || err == nil || err.Error() != "the file is empty" {
		t.Errorf("an empty file: %q, %v", got, err)
	}
	if source.Changed() {
		t.Error("changed, though it was just found empty: a server would be asked again at once, for ever")
	}
	write(t, name, "fifth", info.ModTime().Add(time.Minute))
	want("fifth", source.Get)
}

func TestBadSecretFiles(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb":                       "holds a control character or a line break",
		"  \n":                       "the file is empty",
		strings.Repeat("x", 1<<20+1): "larger than 1 MiB",
	} {
		if got, err := agent.NewSecretFile(secretFile(t, text)).Get(); got != "" || err == nil || err.Error() != want {
			t.Errorf("%.10q: %q, %v, want %s", text, got, err, want)
		}
	}
}

func TestUnsetSecretSource(t *testing.T) {
	var source *agent.SecretSource
	if got, err := source.Reload(); got != "" || err != nil || source.IsSet() || source.Changed() || source.String() != "" {
		t.Errorf("nil source: %q, %v, set %v", got, err, source.IsSet())
	}
}

func TestSecretSourceIsSafeForConcurrentUse(t *testing.T) {
	source := agent.NewSecretFile(secretFile(t, "same"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				for _, get := range []func() (string, error){source.Get, source.Reload} {
					if got, err := get(); got != "same" || err != nil {
						t.Errorf("got %q, %v", got, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func write(t *testing.T, name, text string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

// TestNoSecretInAnyOutput gives every variable that may hold a secret one, and
// looks for it in everything an operator or a log may see.
func TestNoSecretInAnyOutput(t *testing.T) {
	file := secretFile(t, marker)
	headers := secretFile(t, "x-scope="+marker+",authorization="+marker)
	for _, vars := range []map[string]string{
		{"HEKA_HEADERS_FILE": headers},
		{"HEKA_HEADERS_FILE": file},
		{"HEKA_HEADERS_FILE": marker},
		{"HEKA_HEADERS_FILE": headers, "HEKA_BEARER_TOKEN": marker},
		{"HEKA_HEADERS_FILE": headers, "HEKA_ENDPOINT": "http://host/"},
		{"HEKA_HEADERS": marker + "="},
		{"HEKA_HEADERS": marker + "=="},
		{"HEKA_HEADERS": marker + "==," + marker + "=="},
		{"HEKA_ENDPOINT": "http://host/?token=" + marker},
		{"https_proxy": "http://" + marker + ":" + marker + "@proxy:99999"},
		{"HEKA_API_KEY": marker},
		{"HEKA_API_KEY_FILE": file},
		{"HEKA_API_KEY_FILE": marker},
		{"HEKA_API_KEY": marker + "\n" + marker},
		{"HEKA_API_KEY": marker, "HEKA_API_KEY_FILE": file, "HEKA_BEARER_TOKEN": marker},
		{"HEKA_BEARER_TOKEN": marker, "HEKA_ENDPOINT": "http://host/"},
		{"HEKA_USERNAME": marker},
		{"HEKA_USERNAME": marker, "HEKA_PASSWORD_FILE": file},
		{"HEKA_USERNAME": marker + ":", "HEKA_PASSWORD": marker},
		{"HEKA_HEADERS": "x-api-key=" + marker + ",x-a=" + marker},
		{"HEKA_HEADERS": "x-api-key=" + marker + "\x01"},
		{"HEKA_HEADERS": "content-type=" + marker},
		{"HEKA_HEADERS": marker},
		{"HEKA_ENDPOINT": marker},
		{"HEKA_ENDPOINT": "https://" + marker + ":" + marker + "@host/"},
		{"HEKA_ENDPOINT": "https://host/?token=" + marker},
		{"HEKA_ENDPOINT": "https://host/?" + marker},
		{"HEKA_ENDPOINT": "https://host:" + marker + "/"},
		{"HEKA_ENDPOINT": "https://host/#" + marker},
		{"HTTPS_PROXY": "http://" + marker + ":" + marker + "@proxy:1"},
		{"HTTPS_PROXY": "ftp://" + marker + "@proxy:1"},
		{"HEKA_TLS_KEY_FILE": marker, "HEKA_TLS_CERT_FILE": marker},
		{"HEKA_TLS_CA_FILE": marker},
		{"HEKA_SECRET": marker},
		{"HEKA_RESOURCE_ATTRIBUTES": marker},
	} {
		cleanEnvironment(t, vars)
		var out bytes.Buffer
		cfg, warnings, err := agent.LoadConfig("")
		id, _ := agent.Identify(cfg, agent.Build{}, false)
		log, closer, logErr := agent.NewLogger(agent.LogConfig{Level: "info"}, &out)
		if logErr != nil {
			t.Fatal(logErr)
		}
		log.Info().Interface("cfg", cfg.HTTP.Auth).Interface("headers", cfg.HTTP.Headers).Interface("config", cfg).Err(err).Strs("warnings", warnings).
			Interface("settings", cfg.Settings()).Send()
		closer.Close()
		fmt.Fprintf(&out, "%v\n%+v\n%#v\n%+v\n%#v\n%v\n", cfg, cfg, cfg, cfg.HTTP.Headers, cfg.HTTP.Auth, err)
		if err := agent.Report(&out, cfg, id, true); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(marker)) { // a header's name changes its case
			t.Errorf("%q: it is in\n%s", vars, out.String())
		}
	}
}

// A secret that was pasted into a variable for something else is not repeated,
// whatever the variable takes and however the text is wrong.
func TestNoMalformedValueIsRepeated(t *testing.T) {
	const secret = "5ecr3t"
	cleanEnvironment(t, nil) // puts all back
	state := t.TempDir()
	for i, form := range []string{
		secret, "AKIA" + secret, "5" + secret + "==", secret + "s", secret + "MiB", "-1" + secret, "1e9" + secret, "sk_live_" + secret + "!",
		"http://u:" + secret + "@h:99999/", secret + "=", "(" + secret, "[" + secret, "h:" + secret, secret + ",\x01", strings.Repeat(secret, 60),
	} {
		for name := range samples {
			vars := []map[string]string{
				{}, {"HEKA_ENDPOINT": "https://h/", "HEKA_EXPORTER": "otlp"}, {"EXPORTER_TYPE": "otlp_http", "OTLP_HTTP_ENDPOINT": "https://h"},
			}[i%3]
			vars[name] = form
			neverRepeats(t, vars, name, secret, state)
		}
		for name := range agent.PythonVariables() {
			kind := []string{"otlp_http", "datadog_native", "datadog_otlp", "newrelic_otlp"}[i%4]
			vars := map[string]string{"EXPORTER_TYPE": kind, "OTLP_HTTP_ENDPOINT": "https://h", "DATADOG_API_KEY": "k", "NEWRELIC_API_KEY": "k"}
			vars[name] = form
			neverRepeats(t, vars, name, secret, state)
		}
	}
}

// neverRepeats looks for the secret in problems and warnings, but for those of a
// variable of the Python agent that was put to use: they say what to set now.
func neverRepeats(t *testing.T, vars map[string]string, name, secret, state string) {
	t.Helper()
	os.Clearenv()
	vars["STATE_DIRECTORY"] = state
	for name, text := range vars {
		os.Setenv(name, text)
	}
	_, warnings, err := agent.LoadConfig("")
	for _, line := range append(warnings, fmt.Sprint(err)) {
		if strings.Contains(line, secret) && !strings.Contains(line, "is a variable of the Python agent; ") {
			t.Errorf("%s=%q is repeated in %q", name, vars[name], line)
		}
	}
}
