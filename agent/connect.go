package agent

import (
	"errors"
	"fmt"
	"net/http"

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
