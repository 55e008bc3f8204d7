// Package watch shows the hosts of an ingest, on a terminal or as plain lines.
package watch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// fetchTimeout limits the time of one request to the ingest.
const fetchTimeout = 3 * time.Second

// maxAnswerBytes limits the size of an answer. It is enough for some ten
// thousand hosts.
const maxAnswerBytes = 64 << 20

// Client queries the API of an ingest. Call [Client.Close] when done.
type Client struct {
	base    string
	keyFile string
	http    *http.Client
}

// NewClient returns a Client for the ingest at base, such as
// "https://host:port". It trusts the CA in caFile, or the system's CAs if
// caFile is empty. It sends the first key of keyFile, unless keyFile is empty.
func NewClient(base, caFile, keyFile string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("want a URL such as https://127.0.0.1:9443, got %q", base)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read CA: no certificate in %s", caFile)
		}
	}
	c := &Client{base: strings.TrimSuffix(base, "/"), keyFile: keyFile}
	if _, err := c.key(); err != nil {
		return nil, err
	}
	c.http = &http.Client{
		Timeout: fetchTimeout,
		// No proxy: the request must reach the ingest that was named.
		Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true},
	}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Hosts returns all hosts.
func (c *Client) Hosts(ctx context.Context) ([]wire.Host, error) {
	var hosts []wire.Host
	return hosts, c.get(ctx, "/api/hosts", &hosts)
}

// Healthy returns nil if the ingest answers requests.
func (c *Client) Healthy(ctx context.Context) error {
	return c.get(ctx, "/healthz", &struct{}{})
}

func (c *Client) get(ctx context.Context, path string, document any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	key, err := c.key()
	if err != nil {
		return err
	}
	if key != "" {
		request.Header.Set("X-Api-Key", key)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var inURL *url.Error // its text repeats the URL
		if errors.As(err, &inURL) {
			err = inURL.Err
		}
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body := io.LimitReader(response.Body, maxAnswerBytes)
	if response.StatusCode != http.StatusOK {
		var refused wire.Error
		_ = json.NewDecoder(body).Decode(&refused) // the page of a proxy has no such field
		return fmt.Errorf("%s %s", response.Status, refused.Error)
	}
	if err := json.NewDecoder(body).Decode(document); err != nil {
		return fmt.Errorf("not an answer of heka-ingest: %w", err)
	}
	return nil
}

// key returns the first key in the file, which may change at any time.
func (c *Client) key() (string, error) {
	if c.keyFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.keyFile)
	if err != nil {
		return "", fmt.Errorf("read API key: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line, nil
		}
	}
	return "", fmt.Errorf("read API key: no key in %s", c.keyFile)
}
