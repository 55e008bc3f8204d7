// Package server is the HTTPS interface of the ingest. It receives batches and
// shows hosts and series.
//
//	POST /v1/batches   one batch (docs/wire.md)       -> 200 once it is on disk
//	GET  /api/hosts    every agent and its counts
//	GET  /api/series   one host's points
//	GET  /healthz      whether it serves; needs no key
//
// Every wait and every buffer is bounded. Bodies are charged to a common budget
// as they grow; a request that would exceed it gets 429.
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

// BatchesPath is the path that agents post to.
const BatchesPath = "/v1/batches"

// The times that a client may take. A commit waits for others for a few seconds
// at most, so the answer gets as much time as the request.
const (
	headerTimeout   = 10 * time.Second
	requestTimeout  = 60 * time.Second
	responseTimeout = 120 * time.Second
	idleTimeout     = 3 * time.Minute
	shutdownTimeout = 10 * time.Second
	maxHeaderBytes  = 32 << 10
)

// Storage is the part of a store that the server needs.
type Storage interface {
	// Add stores b and returns when b is safely on disk. [store.ErrBusy] means
	// that the agent should try again later.
	Add(b *wire.Batch) (wire.Ack, error)
	Hosts(ctx context.Context) ([]wire.Host, error)
	Series(ctx context.Context, q store.Query) (wire.SeriesPage, error)
}

// Config configures a [Server].
type Config struct {
	// Storage must be safe for concurrent use, and outlive Run.
	Storage Storage
	// Certificate is called for each TLS handshake.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Keys decides which requests are served; nil serves all.
	Keys *Keys
	// MaxBodyBytes limits the size of a body, both as sent and decompressed.
	MaxBodyBytes int64
	// BudgetBytes limits the total size of the bodies being read or stored.
	BudgetBytes int64
	Log         zerolog.Logger
}

// Server answers agents and the API.
type Server struct {
	cfg      Config
	budget   *budget
	decoders chan struct{} // holds a token for each batch being decoded
	refused  zerolog.Logger
}

// maxDecoders limits how many batches are decompressed and parsed at once. Each
// takes a processor, and memory outside of the budget (a zstd window).
const maxDecoders = 4

// New returns a Server. Call [Server.Run] to serve.
func New(cfg Config) *Server {
	return &Server{
		cfg:      cfg,
		budget:   &budget{left: cfg.BudgetBytes},
		decoders: make(chan struct{}, maxDecoders),
		// A fleet with a wrong key must not fill the disk with log lines.
		refused: cfg.Log.Sample(&zerolog.BurstSampler{Burst: 10, Period: 10 * time.Second}),
	}
}

// Handler returns the handler of all routes.
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

// Run serves HTTPS on l until ctx ends. It then accepts no more requests and
// answers those under way, within 10 s. It closes l.
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

// refusal is an unsuccessful answer: a status, and one line for the body.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

// refuse answers with err and logs it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	answer := &refusal{status: http.StatusInternalServerError, reason: "internal error, see the ingest's log"}
	if !errors.As(err, &answer) && r.Context().Err() != nil {
		return // the client has gone
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
	_ = json.NewEncoder(w).Encode(document) // a client that has gone sends its request again
}
