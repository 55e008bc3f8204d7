package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// newClient makes the HTTP client of an exporter.
func newClient(exporter string, cfg HTTPConfig, id Identity, build Build) (*ship.Client, error) {
	to, err := backendOf(exporter, cfg)
	if err != nil {
		return nil, err
	}
	headers := make(map[string]string, len(cfg.Headers))
	for _, h := range cfg.Headers {
		headers[h.Name] = h.Value.Reveal()
	}
	auth := credential{cfg.Auth, cfg.HeadersFile, to}
	client, err := ship.NewClient(ship.ClientConfig{
		Endpoint:    cfg.Endpoint,
		Headers:     headers,
		Authorize:   auth.authorize,
		AuthChanged: auth.changed,
		AgentID:     id.AgentID,
		UserAgent:   "heka-insights-agent/" + build.Version,
		Timeout:     cfg.Timeout,
		TLS:         ship.TLSConfig(cfg.TLS),
		Backend:     to,
		Decode:      encode.Native{}.Decode,
	})
	if err != nil {
		return nil, err
	}
	return client, nil
}

// backendOf returns the exporter's backend with the limit that is configured.
func backendOf(exporter string, cfg HTTPConfig) (backend.Backend, error) {
	to, ok := encode.Find(exporter)
	if !ok {
		return to, fmt.Errorf("no such exporter: %q", exporter)
	}
	to.Limits.MaxAge = cfg.MaxAge
	return to, nil
}

// credential sets the headers of HEKA_HEADERS_FILE, and that of the one
// credential that is configured.
type credential struct {
	AuthConfig
	headers *SecretSource
	to      backend.Backend
}

func (c credential) authorize(h http.Header, refused bool) error {
	read := (*SecretSource).Get
	if refused {
		read = (*SecretSource).Reload
	}
	if err := c.addHeaders(h, read); err != nil {
		return err
	}
	switch {
	case c.APIKey.IsSet():
		key, err := read(c.APIKey)
		h.Set(c.to.KeyHeader, c.to.KeyScheme+key)
		return wrapSecret("HEKA_API_KEY_FILE", err)
	case c.BearerToken.IsSet():
		token, err := read(c.BearerToken)
		h.Set("Authorization", "Bearer "+token)
		return wrapSecret("HEKA_BEARER_TOKEN_FILE", err)
	case c.Username.IsSet():
		user, userErr := read(c.Username)
		password, passwordErr := read(c.Password)
		basic := http.Request{Header: h}
		basic.SetBasicAuth(user, password)
		return errors.Join(wrapSecret("HEKA_USERNAME_FILE", userErr), wrapSecret("HEKA_PASSWORD_FILE", passwordErr))
	default:
		return nil
	}
}

// addHeaders takes what the file holds now.
func (c credential) addHeaders(h http.Header, read func(*SecretSource) (string, error)) error {
	text, err := read(c.headers)
	if err != nil {
		return wrapSecret("HEKA_HEADERS_FILE", err)
	}
	list, f := parseHeaders(text)
	if f != nil {
		return fmt.Errorf("HEKA_HEADERS_FILE: %s", f.wrong)
	}
	for _, header := range list {
		h.Set(header.Name, header.Value.Reveal())
	}
	return nil
}

func wrapSecret(variable string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", variable, err)
}

// changed reports whether a secret's file differs from what was last sent.
func (c credential) changed() bool {
	for _, s := range []*SecretSource{c.APIKey, c.BearerToken, c.Username, c.Password, c.headers} {
		if s.Changed() {
			return true
		}
	}
	return false
}

// Connect makes one round trip to the endpoint: a batch without points, with
// the configured credentials and certificates. It returns a line that says
// what answered, or an error that says what failed and what to do.
func Connect(ctx context.Context, cfg Config, build Build) (report string, err error) {
	if cfg.HTTP.Endpoint == nil {
		return "", errors.New("there is nothing to connect to: HEKA_ENDPOINT is not set")
	}
	id, _ := Identify(cfg, false)
	client, err := newClient(cfg.Exporter, cfg.HTTP, id, build)
	if err != nil {
		return "", err
	}
	defer client.Close()
	start := time.Now()
	o := client.Send(ctx, emptyBatch(cfg, id, build))
	switch {
	case o.Verdict == ship.Reject && cfg.Exporter != "heka":
		// Credentials come first, and some backends want no batch without a point.
		return fmt.Sprintf("connected: %s answered in %s, and refused an empty batch, as some backends do: %s",
			RedactURL(cfg.HTTP.Endpoint), time.Since(start).Round(time.Millisecond), o.Cause), nil
	case o.Verdict != ship.Acked:
		return "", connectError(cfg.HTTP.Endpoint, o)
	}
	return fmt.Sprintf("connected: %s acknowledged an empty batch in %s",
		RedactURL(cfg.HTTP.Endpoint), time.Since(start).Round(time.Millisecond)), nil
}

func connectError(endpoint *url.URL, o ship.Outcome) error {
	if o.Hint != "" {
		return fmt.Errorf("connect to %s: %s; %s", RedactURL(endpoint), o.Cause, o.Hint)
	}
	return fmt.Errorf("connect to %s: %s", RedactURL(endpoint), o.Cause)
}

func emptyBatch(cfg Config, id Identity, build Build) ship.Payload {
	batch := metric.Batch{
		Agent:      metric.Agent{ID: id.AgentID, Version: build.Version, Epoch: newEpoch(), Seq: 1},
		Resource:   id.Resource(),
		IntervalMS: cfg.Collect.Interval.Milliseconds(),
	}
	return ship.Payload{ID: batch.ID(), Body: encode.Native{}.Append(nil, &batch), Compression: ship.CompressionNone}
}
