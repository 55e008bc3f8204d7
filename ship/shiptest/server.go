package shiptest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// ServerConfig says what a Server serves.
type ServerConfig struct {
	// Handler answers requests.
	Handler http.Handler
	// TLS makes it an HTTPS server; nil is plain HTTP. Server.SetTLS replaces
	// it later.
	TLS *tls.Config
	// HTTP1Only keeps an HTTPS server from offering HTTP/2.
	HTTP1Only bool
}

// Server serves HTTP on a listener, and can be made to forget how. Make one
// with Serve; safe for concurrent use.
type Server struct {
	listener net.Listener
	http     http.Server
	handed   chan net.Conn // to net/http
	ending   context.Context
	end      context.CancelFunc
	only1    bool
	parts    sync.WaitGroup

	mu       sync.Mutex
	tls      *tls.Config    // guarded by mu, like all below
	frames   func(net.Conn) // nil: net/http serves
	open     map[*tracked]struct{}
	accepted int64
}

// Serve begins to serve on l, and owns it. It does not block; end it with
// Close.
func Serve(l net.Listener, cfg ServerConfig) *Server {
	s := &Server{listener: l, handed: make(chan net.Conn), only1: cfg.HTTP1Only, tls: cfg.TLS, open: make(map[*tracked]struct{})}
	s.ending, s.end = context.WithCancel(context.Background())
	s.http.Handler = cfg.Handler
	s.http.BaseContext = func(net.Listener) context.Context { return s.ending }
	s.http.ErrorLog = log.New(io.Discard, "", 0)
	s.parts.Go(s.acceptAll)
	s.parts.Go(func() { _ = s.http.Serve(handedOver{s}) }) // it always ends with ErrServerClosed
	return s
}

// Close ends it: the listener, all connections, and the contexts of requests
// that are being answered. It returns when every goroutine has ended but those
// of handlers that do not watch their request's context.
func (s *Server) Close() {
	s.end()
	_ = s.listener.Close()
	_ = s.http.Close()
	s.Drop()
	s.parts.Wait()
}

// SetTLS replaces the configuration, of handshakes from now on: another
// certificate, another authority, another version. The server must have had
// one from the start.
func (s *Server) SetTLS(cfg *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tls = cfg
}

// Misframe hands all connections from now on to f, after the TLS handshake, in
// place of net/http; nil ends that. f owns its connection and returns at the
// latest when reading from it fails. Connections that exist go on as before:
// Drop them.
func (s *Server) Misframe(f func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = f
}

// Drop closes the connections that there are.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Conn.Close()
	}
	clear(s.open)
}

// Accepted counts connections since Serve.
func (s *Server) Accepted() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *Server) acceptAll() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		served, frames := s.take(c)
		if frames != nil {
			s.parts.Go(func() {
				frames(served)
				_ = served.Close()
			})
			continue
		}
		select {
		case s.handed <- served:
		case <-s.ending.Done():
			_ = served.Close()
		}
	}
}

// take wraps an accepted connection in what it needs.
func (s *Server) take(accepted net.Conn) (net.Conn, func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &tracked{accepted, s}
	s.open[c] = struct{}{}
	s.accepted++
	if s.tls == nil {
		return c, s.frames
	}
	return tls.Server(c, &tls.Config{GetConfigForClient: s.configForClient}), s.frames
}

func (s *Server) configForClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.tls.Clone()
	cfg.NextProtos = []string{"h2", "http/1.1"}
	if s.only1 {
		cfg.NextProtos = cfg.NextProtos[1:]
	}
	return cfg, nil
}

// tracked leaves its server's set of connections when it is closed.
type tracked struct {
	net.Conn
	server *Server
}

func (c *tracked) Close() error {
	c.server.mu.Lock()
	delete(c.server.open, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
}

// handedOver is the listener that net/http accepts from.
type handedOver struct{ *Server }

func (h handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.handed:
		return c, nil
	case <-h.ending.Done():
		return nil, net.ErrClosed
	}
}

func (h handedOver) Addr() net.Addr { return h.listener.Addr() }
func (h handedOver) Close() error   { return nil }
