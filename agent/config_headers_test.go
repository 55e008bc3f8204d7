package agent_test

import (
	"strings"
	"testing"
)

func TestHeadersFile(t *testing.T) {
	file := secretFile(t, "x-scope-orgid=tenant-1,x-auth=hunter2\n")
	cfg, warnings := load(t, map[string]string{"HEKA_ENDPOINT": "https://host/", "HEKA_HEADERS_FILE": file, "HEKA_API_KEY": "k"})
	if got, err := cfg.HTTP.HeadersFile.Get(); got != "x-scope-orgid=tenant-1,x-auth=hunter2" || err != nil || len(warnings) > 0 {
		t.Errorf("it holds %q, %v; warnings %q", got, err, warnings)
	}
	if cfg, _ := load(t, nil); cfg.HTTP.HeadersFile.IsSet() {
		t.Error("a file is set that nobody set")
	}
	// OpenTelemetry's headers do not come on top; its endpoint is used all the same.
	cfg, _ = load(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://host/", "OTEL_EXPORTER_OTLP_HEADERS": "x-a=b", "HEKA_HEADERS_FILE": file})
	if len(cfg.HTTP.Headers) > 0 || cfg.Exporter != "otlp" {
		t.Errorf("headers %v of the exporter %s", cfg.HTTP.Headers, cfg.Exporter)
	}
}

func TestBadHeadersFile(t *testing.T) {
	good, auth := secretFile(t, "x-scope-orgid=1"), secretFile(t, "authorization=Basic hunter2")
	for _, c := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"HEKA_HEADERS_FILE": "/nowhere"}, "HEKA_HEADERS_FILE: cannot be used (no such file or directory); name a readable file that holds name=value pairs"},
		{map[string]string{"HEKA_HEADERS_FILE": secretFile(t, "\n")}, "HEKA_HEADERS_FILE: cannot be used (the file is empty);"},
		{map[string]string{"HEKA_HEADERS_FILE": secretFile(t, "hunter2")}, "HEKA_HEADERS_FILE: has a part that is not name=value;"},
		{map[string]string{"HEKA_HEADERS_FILE": secretFile(t, "content-type=hunter2")}, "HEKA_HEADERS_FILE: sets Content-Type, which the agent sets itself;"},
		{map[string]string{"HEKA_HEADERS_FILE": good, "HEKA_HEADERS": "x-a=b"}, "HEKA_HEADERS: is set together with HEKA_HEADERS_FILE; set one of the two"},
		{map[string]string{"HEKA_HEADERS_FILE": auth, "HEKA_BEARER_TOKEN": "hunter2"}, "HEKA_BEARER_TOKEN: is set together with an Authorization header in HEKA_HEADERS_FILE;"},
		{map[string]string{"HEKA_HEADERS_FILE": auth, "HEKA_ENDPOINT": "http://host/", "HEKA_ALLOW_PLAINTEXT": "true"}, "HEKA_ENDPOINT: is http://, which would send credentials in the clear;"},
		// What it holds next is not known: it is a secret, whatever it holds now.
		{map[string]string{"HEKA_HEADERS_FILE": good, "HEKA_ENDPOINT": "http://host/", "HEKA_ALLOW_PLAINTEXT": "true"}, "HEKA_ENDPOINT: is http://, which would send credentials in the clear;"},
	} {
		if got := problems(t, c.vars); len(got) != 1 || !strings.HasPrefix(got[0], c.want) || strings.Contains(got[0], "hunter2") {
			t.Errorf("%v: %q, want %q", c.vars, got, c.want)
		}
	}
}

func TestAKeyInTheQueryIsASecret(t *testing.T) {
	for query, secret := range map[string]bool{
		"api_key=k": true, "API-KEY=k": true, "x=1&apikey=k": true, "x=1;token=k": true, "access_token=k": true, "sig=k": true, "code=k": true,
		"p=k": true, "password=k": true, "X-Amz-Signature=k": true, "%74oken=k": true, "auth=k": true, "client_secret=k": true,
		"": false, "x=1": false, "database=metrics&table=m": false, "insert_deduplication_token=": false, "pipeline=p1": false, "design=1": false,
	} {
		for _, host := range []string{"10.0.0.1", "ingest.example.com:80", "[2001:db8::1]", "127.0.0.1.example.com"} {
			cleanEnvironment(t, nil)
			vars := map[string]string{"HEKA_ENDPOINT": "http://" + host + "/b?" + query, "HEKA_ALLOW_PLAINTEXT": "true"}
			if !secret {
				load(t, vars)
			} else if got := problems(t, vars); len(got) != 1 || !strings.Contains(got[0], "with a key in its query") {
				t.Errorf("%s: %q", vars["HEKA_ENDPOINT"], got)
			}
		}
		for _, endpoint := range []string{"https://10.0.0.1/b?", "http://127.0.0.1/b?", "http://localhost:1/b?", "http://[::1]/b?"} {
			load(t, map[string]string{"HEKA_ENDPOINT": endpoint + query})
		}
	}
}
