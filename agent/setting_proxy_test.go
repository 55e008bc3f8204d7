package agent_test

import (
	"os"
	"strings"
	"testing"
)

// TestMalformedProxy has what people write, in both spellings and from a file:
// it is refused, and nothing of it is printed.
func TestMalformedProxy(t *testing.T) {
	for _, text := range []string{
		"http://user:Hash#Secr3t@proxy.example:8080",
		"http://user:8080#Secr3t@proxy.example:8080",
		`http://DOM\user:Secr3t@proxy.example:8080`,
		"http://user:a Secr3t@proxy.example:8080",
		"http://user:x/Secr3t@proxy.example:8080",
		"http://user:80/Secr3t@proxy.example:8080",
		"http://user:80?Secr3t@proxy.example:8080",
		"http://us[er:Secr3t@proxy.example:8080",
		"http://user:%Secr3t@proxy.example:8080",
		"http://user:Secr3t@:8080",
		"http://user:Secr3t@pro xy:8080",
		`http://user:Secr3t@pro"xy:8080`,
		"http://user:Secr3t@proxy:port",
		"http:/user:Secr3t@proxy:8080",
		`user:Secr3t\@proxy:8080`,
		"user:80/Secr3t@proxy:8080",
		"user:Secr3t@proxy:8080/#",
		"ftp://user:Secr3t@proxy:8080",
		"//user:Secr3t@proxy:8080",
		`"http://user:Secr3t@127.0.0.1:20701"`,
		`'http://user:Secr3t@proxy'`,
		"http://user:Secr3t@proxy:8080/path",
		"http://user:Secr3t@proxy:8080,http://b",
		"http:// user:Secr3t@proxy:8080",
	} {
		for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
			got := strings.Join(problems(t, map[string]string{name: text}), "\n")
			if !strings.HasPrefix(got, name+": ") || strings.Contains(got, "Secr3t") || strings.Contains(got, "\n") {
				t.Errorf("%s=%s: %q", name, text, got)
			}
		}
	}
}

// TestProxyThatIsShownIsInForce compares check with what net/http uses.
func TestProxyThatIsShownIsInForce(t *testing.T) {
	for _, c := range []struct{ text, shown, used string }{
		{"http://proxy.example:3128", "http://proxy.example:3128", "http://proxy.example:3128"},
		{" \thttp://proxy.example:3128\n", "http://proxy.example:3128", "http://proxy.example:3128"},
		{"proxy.example:3128", "http://proxy.example:3128", "proxy.example:3128"},
		{"HTTPS://Proxy.example/", "https://Proxy.example/", "HTTPS://Proxy.example/"},
		{"socks5h://[fe80::1%25eth0]:1080", "socks5h://[fe80::1%25eth0]:1080", "socks5h://[fe80::1%25eth0]:1080"},
		{"http://user:p%23ss@10.0.0.1:1", "http://redacted@10.0.0.1:1", "http://user:p%23ss@10.0.0.1:1"},
		{"user:p@ss@proxy:1", "http://redacted@proxy:1", "user:p@ss@proxy:1"},
		{"http://прокси.example:1", "http://%D0%BF%D1%80%D0%BE%D0%BA%D1%81%D0%B8.example:1", "http://прокси.example:1"},
		{" ", "", ""},
	} {
		for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
			cfg, _ := load(t, map[string]string{name: c.text})
			shown := ""
			for _, s := range cfg.Settings() {
				if s.Name == name {
					shown = s.Text
				}
			}
			if shown != c.shown || os.Getenv(name) != c.used {
				t.Errorf("%s=%q is shown as %q and used as %q, want %q and %q", name, c.text, shown, os.Getenv(name), c.shown, c.used)
			}
		}
	}
	_, warnings := load(t, map[string]string{"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1", "no_proxy": "x", "NO_PROXY": "x"})
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "https_proxy: has no effect") {
		t.Errorf("warnings %q", warnings)
	}
}

// TestWhiteSpaceIsNoPartOfAVariable holds what other packages read from the
// environment.
func TestWhiteSpaceIsNoPartOfAVariable(t *testing.T) {
	dir := t.TempDir()
	vars := map[string]string{"NO_PROXY": "\tlocal,10.0.0.0/8 "}
	for _, name := range []string{"HOST_PROC", "HOST_SYS", "HOST_ETC", "HOST_ROOT", "HOST_RUN", "HOST_DEV"} {
		vars[name] = " " + dir + "\n"
	}
	cfg, _ := load(t, vars)
	for name := range vars {
		if text := os.Getenv(name); text != strings.TrimSpace(text) {
			t.Errorf("%s=%q in the environment", name, text)
		}
	}
	if cfg.Host.Proc != dir || cfg.Host.Dev != dir {
		t.Errorf("%+v, want %s", cfg.Host, dir)
	}
}

// TestLongNoProxy has a cluster's.
func TestLongNoProxy(t *testing.T) {
	list := ".cluster.local,.svc,10.128.0.0/14" + strings.Repeat(",node-01.internal.example.com", 2000)
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		cfg, _ := load(t, map[string]string{name: list})
		found := false
		for _, s := range cfg.Settings() {
			found = found || s.Name == name && s.Text == list
		}
		if !found {
			t.Errorf("%s of %d bytes is not shown", name, len(list))
		}
	}
}
