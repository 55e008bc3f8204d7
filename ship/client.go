package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// ClientConfig says where and how batches are POSTed.
type ClientConfig struct {
	// Endpoint is the absolute URL.
	Endpoint *url.URL
	// Headers are added to each request; may be nil.
	Headers map[string]string
	// Authorize sets the credential's header, reading it anew when its file
	// changed, or in any case when the last one was refused; nil when there is
	// no credential.
	Authorize func(h http.Header, refused bool) error
	// AuthChanged reports whether Authorize would now set something else than
	// it last did; nil when that cannot happen.
	AuthChanged func() bool
	// AgentID is sent as X-Agent-Id.
	AgentID string
	// UserAgent is sent as User-Agent.
	UserAgent string
	// Timeout bounds a whole request, the answer's body included.
	Timeout time.Duration
	// TLS holds the client's side of TLS.
	TLS TLSConfig
	// Backend is what the endpoint is; what it says of endpoints and of keys is
	// for the caller to make Endpoint and Authorize of.
	Backend backend.Backend
	// Decode reads a native body, not compressed; needed for a backend that is
	// not native.
	Decode func(body []byte) (*metric.Batch, error)
	// DialContext makes connections, to the backend or its proxy, in at most
	// the 5 s of its context. It is for tests; nil is a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	maxAnswerBytes = 64 << 10
	maxRedirects   = 3
	// maxDials is how many connections one request may take: one for each hop,
	// and one more. Without it net/http makes a new one, at once, for as long as
	// a server that shuts down answers each with a GOAWAY.
	maxDials = maxRedirects + 2
	// A connection is replaced after ten minutes, give or take a fifth, so
	// that DNS is asked again and load balancers can move a fleet.
	connectionLife   = 8 * time.Minute
	connectionJitter = 4 * time.Minute
	// halfwayMax is how long TLS files may be unusable before that is told: a
	// certificate and its key are replaced one after the other.
	halfwayMax = time.Minute
	// minSecret keeps a header such as "X-Tenant: a" from redacting every a.
	minSecret = 4
)

// Client is the Sender that POSTs payloads over HTTP. Make one with NewClient.
type Client struct {
	cfg         ClientConfig
	http        http.Client
	files       *tlsFiles
	dials       atomic.Int32 // connections of the last request
	expiry      time.Time    // when the transport is due for replacement
	halfway     time.Time    // when the TLS files turned unusable; zero: they did not, or it was told
	refused     bool         // the last answer was 401 or 403
	secrets     []string     // header values of the last request
	rest        *rest        // of the batch that the backend took in part; may be nil
	scratch     []byte       // for bodies
	compressors map[Compression]*compressor
}

// NewClient returns a client. It reads the TLS files, and fails when they
// cannot be used. Later on, while they are replaced, the old ones stay in
// force; files that are of no use for longer than a minute are a Pause, once.
func NewClient(cfg ClientConfig) (*Client, error) {
	c := &Client{cfg: cfg, files: newTLSFiles(cfg.TLS), compressors: make(map[Compression]*compressor)}
	c.http.CheckRedirect = sameHostOnly
	if err := c.connectAnew(time.Now()); err != nil {
		var configuration *configError
		if errors.As(err, &configuration) {
			err = fmt.Errorf("%w; %s", err, configuration.hint)
		}
		return nil, err
	}
	return c, nil
}

// Send makes one POST, or several if the backend takes a batch bit by bit, and
// classifies what came of it.
func (c *Client) Send(ctx context.Context, p Payload) Outcome {
	if c.cfg.Backend.Native {
		o, _ := c.attempt(ctx, p, backend.Sent{ID: p.ID, Points: p.Points})
		return o
	}
	return c.translate(ctx, p)
}

// attempt makes one POST of a body as it is.
func (c *Client) attempt(ctx context.Context, p Payload, sent backend.Sent) (o Outcome, again []metric.Place) {
	a := c.post(ctx, p)
	c.refused = a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
	o, again = classify(a, sent, c.cfg.Backend.Format)
	for _, secret := range c.secrets { // an answer may repeat them
		o.Cause = strings.ReplaceAll(o.Cause, secret, "[redacted]")
	}
	return o, again
}

// Refreshed reports whether credentials or TLS files have changed.
func (c *Client) Refreshed() bool {
	return c.files.changed() || c.cfg.AuthChanged != nil && c.cfg.AuthChanged()
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) post(ctx context.Context, p Payload) answer {
	if err := c.renew(time.Now()); err != nil {
		return answer{err: err}
	}
	c.dials.Store(0)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	request, err := c.request(ctx, p)
	if err != nil {
		return answer{err: err}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return answer{err: fmt.Errorf("read the answer: %w", err)}
	}
	return answer{status: response.StatusCode, header: response.Header, body: body}
}

// request builds the POST that docs/wire.md describes. Idempotency-Key also
// tells net/http that it may repeat the request on a fresh connection when a
// kept-alive one turns out to be dead.
func (c *Client) request(ctx context.Context, p Payload) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(p.ID), bytes.NewReader(p.Body))
	if err != nil {
		return nil, err
	}
	for name, value := range c.cfg.Headers {
		request.Header.Set(name, value)
	}
	if c.cfg.Authorize != nil {
		if err := c.cfg.Authorize(request.Header, c.refused); err != nil {
			return nil, &configError{err: err, hint: "make the secret's file readable and not empty"}
		}
	}
	c.secrets = secretsOf(request.Header)
	request.Header.Set("Content-Type", c.cfg.Backend.ContentType)
	if p.Compression != CompressionNone {
		request.Header.Set("Content-Encoding", string(p.Compression))
	}
	request.Header.Set("Idempotency-Key", p.ID)
	request.Header.Set("X-Idempotency-Key", p.ID)
	request.Header.Set("X-Agent-Id", c.cfg.AgentID)
	request.Header.Set("User-Agent", c.cfg.UserAgent)
	return request, nil
}

// address is the endpoint, with the batch id where the backend wants it, unless
// the endpoint has that parameter itself, which is empty.
func (c *Client) address(id string) string {
	name := c.cfg.Backend.TokenParameter
	if name == "" {
		return c.cfg.Endpoint.String()
	}
	u := *c.cfg.Endpoint
	query := u.Query()
	if query.Has(name) && query.Get(name) == "" {
		query.Del(name)
	} else {
		query.Set(name, id)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// secretsOf lists the values that could be secrets of the headers so far, and
// what follows a scheme such as "Bearer", and the password of "Basic".
func secretsOf(h http.Header) []string {
	var secrets []string
	for name := range h {
		value := h.Get(name)
		if _, token, ok := strings.Cut(value, " "); ok && len(token) >= minSecret {
			secrets = append(secrets, token)
		}
		request := http.Request{Header: http.Header{"Authorization": {value}}}
		if _, password, ok := request.BasicAuth(); ok && len(password) >= minSecret {
			secrets = append(secrets, password)
		}
		if len(value) >= minSecret {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

// renew connects anew when the TLS files have changed or the connection is old.
// Its error is the one that is to be told of files that are of no use.
func (c *Client) renew(now time.Time) error {
	changed := c.files.changed()
	due := !c.halfway.IsZero() && now.Sub(c.halfway) > halfwayMax
	if !changed && !due && now.Before(c.expiry) {
		return nil
	}
	err := c.connectAnew(now)
	switch {
	case err == nil, due:
		c.halfway = time.Time{}
		return err
	case changed && c.halfway.IsZero():
		c.halfway = now
	}
	c.expiry = now.Add(connectionLife) // with the old files
	return nil
}

// connectAnew replaces the transport: new connections, with the TLS files and
// DNS as they are now.
func (c *Client) connectAnew(now time.Time) error {
	transport, err := newTransport(c.files, c.dial)
	if err != nil {
		return err
	}
	c.http.CloseIdleConnections()
	c.http.Transport = transport
	c.expiry = now.Add(connectionLife + time.Duration(rand.Int64N(int64(connectionJitter))))
	return nil
}

// dial makes a connection for the request under way.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.dials.Add(1) > maxDials {
		return nil, errors.New("the endpoint closes its connections before it answers")
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if c.cfg.DialContext != nil {
		return c.cfg.DialContext(ctx, network, address)
	}
	dialer := net.Dialer{KeepAlive: pingAfter}
	return dialer.DialContext(ctx, network, address)
}

// sameHostOnly follows redirects that keep method, host and scheme; all
// others are answers, for classify to judge: a credential never travels to
// where it was not configured for.
func sameHostOnly(request *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) > maxRedirects:
		return errors.New("too many redirects")
	case request.Method != first.Method,
		request.URL.Host != first.URL.Host,
		request.URL.Scheme != first.URL.Scheme:
		return http.ErrUseLastResponse
	default:
		return nil
	}
}
