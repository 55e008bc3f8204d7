// Package server is the ingest's HTTPS interface: it takes batches in, and
// shows hosts and series.
//
//	POST /v1/batches   one batch (docs/wire.md)       -> 200 once it is on disk
//	GET  /api/hosts    every agent and its counts
//	GET  /api/series   one host's points
//	GET  /healthz      whether it serves; needs no key
//
// Every wait and every buffer has a bound: bodies are charged to one budget
// as they grow, and what would go over it is asked to come back later.
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// BatchesPath is where agents post.
const BatchesPath = "/v1/batches"

// The times a client may take. A commit waits behind others for seconds at
// most, so the answer has as long as the request.
const (
	headerTimeout   = 10 * time.Second
	requestTimeout  = 60 * time.Second
	responseTimeout = 120 * time.Second
	idleTimeout     = 3 * time.Minute
	shutdownTimeout = 10 * time.Second
	maxHeaderBytes  = 32 << 10
)

// Storage is what the server needs of a store.
type Storage interface {
	// Add returns after the batch is safe; store.ErrBusy asks to come later.
	Add(b *wire.Batch) (wire.Ack, error)
	Hosts(ctx context.Context) ([]wire.Host, error)
	Series(ctx context.Context, q store.Query) (wire.SeriesPage, error)
}

// Config says how a Server behaves.
type Config struct {
	// Storage must be safe for concurrent use, and outlive Run.
	Storage Storage
	// Certificate is called for each TLS handshake.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Keys admits requests; nil admits all.
	Keys *Keys
	// MaxBodyBytes bounds a body, as it is sent and when it is inflated.
	MaxBodyBytes int64
	// BudgetBytes bounds all bodies together that are being read or stored.
	BudgetBytes int64
	Log         zerolog.Logger
}

// Server answers agents and the API.
type Server struct {
	cfg      Config
	budget   *budget
	decoders chan struct{} // holds one token for each batch being decoded
	refused  zerolog.Logger
}

// maxDecoders bounds how many batches are inflated and parsed at once: that
// takes a processor, and memory beyond the budget (a zstd window).
const maxDecoders = 4

// New returns a Server; Run makes it serve.
func New(cfg Config) *Server {
	return &Server{
		cfg:      cfg,
		budget:   &budget{left: cfg.BudgetBytes},
		decoders: make(chan struct{}, maxDecoders),
		// A fleet with a wrong key must not fill the disk with log lines.
		refused: cfg.Log.Sample(&zerolog.BurstSampler{Burst: 10, Period: 10 * time.Second}),
	}
}

// Handler returns the server's routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	route := func(method, path string, handler http.HandlerFunc) {
		mux.HandleFunc(method+" "+path, handler)
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", method)
			s.refuse(w, r, &refusal{status: http.StatusMethodNotAllowed, reason: "want " + method})
		})
	}
	route(http.MethodPost, BatchesPath, s.authorized(s.postBatch))
	route(http.MethodGet, "/api/hosts", s.authorized(s.getHosts))
	route(http.MethodGet, "/api/series", s.authorized(s.getSeries))
	route(http.MethodGet, "/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &refusal{status: http.StatusNotFound, reason: "no such path; batches go to " + BatchesPath})
	})
	return mux
}

// Run serves HTTPS on l until ctx ends; then it takes no more requests and
// answers those it has, within 10 s. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		TLSConfig:         &tls.Config{GetCertificate: s.cfg.Certificate, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      responseTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(s.refused, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(l, "", "") }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(bounded)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// refusal is an answer other than success: a status, and one line for the body.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

// refuse answers with err and logs it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	answer := &refusal{status: http.StatusInternalServerError, reason: "internal error, see the ingest's log"}
	if !errors.As(err, &answer) && r.Context().Err() != nil {
		return // nobody is there to read it
	}
	switch answer.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter())
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `ApiKey realm="heka-ingest"`)
	case http.StatusUnsupportedMediaType:
		w.Header().Set("Accept-Encoding", "gzip, zstd")
	}
	s.refused.Warn().Err(err).Int("status", answer.status).Str("from", r.RemoteAddr).
		Str("agent", r.Header.Get("X-Agent-Id")).Str("path", r.URL.Path).Msg("refused")
	writeJSON(w, answer.status, wire.Error{Error: answer.reason})
}

func writeJSON(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document) // a client that is gone asks again
}
