package ship

import (
	"encoding/pem"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TLS files that are of no use are told of once, and only after a while: the
// other half of a pair may be on its way.
func TestUnusableTLSFilesAreToldAfterAWhile(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	server := certificatePEM()
	install := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(ca, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install(server)
	c, err := NewClient(ClientConfig{Endpoint: &url.URL{Scheme: "https", Host: "ingest.invalid"}, TLS: TLSConfig{CAFile: ca}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := c.http.Transport
	after := func(d time.Duration, told bool) {
		t.Helper()
		err := c.renew(now.Add(d))
		if (err != nil) != told || told && !strings.Contains(err.Error(), "ca.pem") {
			t.Errorf("renew after %v = %v, want an error: %v", d, err, told)
		}
		if c.http.Transport != good {
			t.Errorf("after %v the good files are not in force", d)
		}
	}
	install([]byte("of no use"))
	after(0, false)
	after(halfwayMax, false)
	after(halfwayMax+1, true)
	after(halfwayMax+2, false)
	after(time.Hour, false)
	install([]byte("of no use either"))
	after(time.Hour+1, false)
	install(append(server, '\n'))
	if err := c.renew(now.Add(time.Hour + 2)); err != nil || c.http.Transport == good {
		t.Errorf("renew with good files = %v, the old transport: %v", err, c.http.Transport == good)
	}
	good = c.http.Transport
	after(time.Hour+2+2*halfwayMax, false)
}

func certificatePEM() []byte {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}
