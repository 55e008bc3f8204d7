package ship

import (
	"net/url"
	"testing"
)

// RFC 3986, section 6.2: the same host has many spellings.
func TestSameOrigin(t *testing.T) {
	same := [][]string{
		{"https://ingest.example", "https://INGEST.Example/x?y", "https://ingest.example:443/", "HTTPS://ingest.example.:443", "https://ingest.example:0443", "https://user@ingest.example:"},
		{"http://ingest.example", "http://ingest.example:80", "http://Ingest.example.:80/"},
		{"https://ingest.example:8443", "https://ingest.EXAMPLE:8443/", "https://ingest.example.:08443"},
		{"https://bücher.example", "https://BÜCHER.example:443", "https://xn--bcher-kva.example", "https://XN--BCHER-KVA.example.", "https://b%C3%BCcher.example"},
		{"https://[2001:db8::1]", "https://[2001:DB8:0:0::1]:443", "https://[2001:0db8:0000:0000:0000:0000:0000:0001]"},
		{"https://192.0.2.1", "https://192.0.2.1:443", "https://[::ffff:192.0.2.1]", "https://[::ffff:c000:201]"},
		{"http://[fe80::1%25eth0]:80", "http://[FE80::1%25eth0]"},
		{"http://[fe80::1%25eth1]"},
		{"https://example"},
		{"https://other.example"},
		{"https://ingest.example.com"},
		{"https://ingest.example:80"},
		{"http://ingest.example:443"},
		{"https://[2001:db8::2]"},
		{"https://bucher.example"},
		{"https://ingest.example:8444"},
	}
	for i, spellings := range same {
		for j, others := range same {
			for _, a := range spellings {
				for _, b := range others {
					if got := sameOrigin(mustParse(t, a), mustParse(t, b)); got != (i == j) {
						t.Errorf("%s and %s are the same: %v, want %v", a, b, got, i == j)
					}
				}
			}
		}
	}
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
