package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
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
	// LookupNetIP finds the addresses of a host in the network "ip4" or "ip6". It is
	// for tests; nil is the system's resolver, or with DialContext none: then
	// DialContext gets names.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	maxRedirects = 3
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
)

// Client is the Sender that POSTs payloads over HTTP. Make one with NewClient.
type Client struct {
	cfg         ClientConfig
	http        http.Client
	files       *tlsFiles
	dialer      *dialer
	dials       atomic.Int32               // connections of the last request
	watch       atomic.Pointer[time.Timer] // ends the request under way when nothing moves
	expiry      time.Time                  // when the transport is due for replacement
	halfway     time.Time                  // when the TLS files turned unusable; zero: they did not, or it was told
	refused     bool                       // the last answer was 401 or 403
	secrets     secrets                    // of the last request
	rest        *rest                      // of the batch that the backend took in part; may be nil
	scratch     []byte                     // for bodies
	compressors map[Compression]*compressor
}

// NewClient returns a client. It reads the TLS files, and fails when they
// cannot be used. Later on, while they are replaced, the old ones stay in
// force; files that are of no use for longer than a minute are a Pause, once.
func NewClient(cfg ClientConfig) (*Client, error) {
	c := &Client{
		cfg: cfg, files: newTLSFiles(cfg.TLS), dialer: newDialer(cfg.LookupNetIP, cfg.DialContext),
		compressors: make(map[Compression]*compressor),
	}
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
func (c *Client) attempt(ctx context.Context, p Payload, sent backend.Sent) (Outcome, []metric.Place) {
	a := c.post(ctx, p)
	c.refused = a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
	return classify(a, sent, c.cfg.Backend.Format)
}

// Refreshed reports whether credentials or TLS files have changed.
func (c *Client) Refreshed() bool {
	return c.files.changed() || c.cfg.AuthChanged != nil && c.cfg.AuthChanged()
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// errSilent ends a request on whose connection nothing moves.
var errSilent = fmt.Errorf("the endpoint fell silent: %w", os.ErrDeadlineExceeded)

func (c *Client) post(ctx context.Context, p Payload) (a answer) {
	if a.err = c.renew(time.Now()); a.err != nil {
		return a
	}
	c.dials.Store(0)
	c.files.asked.Store(false)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	watched, silent := context.WithCancelCause(ctx)
	defer silent(nil)
	watch := time.AfterFunc(c.cfg.Timeout, func() { silent(errSilent) })
	c.watch.Store(watch)
	defer watch.Stop()
	defer c.watch.Store(nil)

	request, err := c.request(watched, p)
	a.secrets, a.plain = c.secrets, c.cfg.Endpoint.Scheme == "http"
	if err != nil {
		a.err = err
		return a
	}
	response, err := c.http.Do(request)
	if err == nil {
		defer response.Body.Close()
		err = a.read(response)
	}
	if err == nil {
		return a
	}
	if errors.Is(context.Cause(watched), errSilent) {
		err = errSilent
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		c.dialer.blame()
	}
	a.err, a.asked = err, c.files.asked.Load()
	return a
}

// moved notes that bytes moved on the connection.
func (c *Client) moved() {
	if watch := c.watch.Load(); watch != nil {
		watch.Reset(silenceMax)
	}
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
	c.secrets = c.secretsOf(request)
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

// secretsOf lists what may be secret of a request with no more than the
// configured headers, and of the proxy that it goes to.
func (c *Client) secretsOf(request *http.Request) (s secrets) {
	s.addHeaders(request.Header)
	own := &c.cfg.Backend
	s.addQuery(request.URL, func(name string) bool {
		_, fixed := own.Query[name]
		return fixed || name == own.TokenParameter
	})
	if proxy, err := http.ProxyFromEnvironment(request); err == nil {
		s.addUser(proxy)
	}
	return s
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
	conn, err := c.dialer.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return watchedConn{conn, c.moved}, nil
}
