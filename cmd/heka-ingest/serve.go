package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/server"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/tlscert"
)

// The defaults of the flags of serve.
const (
	defaultListen    = "127.0.0.1:9443"
	defaultRetention = 7 * 24 * time.Hour
	defaultMaxBody   = 16 << 20
	// budgetBodies is how many bodies of the maximum size fit into the budget.
	budgetBodies = 4
	queueBatches = 256
)

type serveFlags struct {
	listen, data, keyFile string
	tlsCert, tlsKey       string
	tlsNames              []string
	retention             time.Duration
	maxBody               int64
	debug                 bool
}

func parseServe(args []string, std stdio) (serveFlags, error) {
	f := serveFlags{maxBody: defaultMaxBody}
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.StringVar(&f.listen, "listen", defaultListen, "`address` to serve HTTPS on")
	flags.StringVar(&f.data, "data", "", "`directory` of the database and the certificate (required)")
	flags.StringVar(&f.keyFile, "api-key-file", "", "`file` of the accepted API keys, one per line (default: requests need no key)")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "certificate `file` (PEM) (default: created in DATA/tls, with a CA)")
	flags.StringVar(&f.tlsKey, "tls-key", "", "key `file` (PEM) of the certificate")
	flags.Func("tls-name", "additional host `name` or IP address for the created certificate; may be repeated", func(s string) error {
		f.tlsNames = append(f.tlsNames, s)
		return nil
	})
	flags.DurationVar(&f.retention, "retention", defaultRetention, "how long points are kept")
	flags.Func("max-body", "maximum batch `size`, both as sent and decompressed (default 16MiB)", func(s string) (err error) {
		f.maxBody, err = parseSize(s)
		return err
	})
	flags.BoolVar(&f.debug, "debug", false, "log more")
	if err := parse(flags, args, std); err != nil {
		return f, err
	}
	return f, f.check()
}

func (f serveFlags) check() error {
	var problems []error
	if f.data == "" {
		problems = append(problems, errors.New("--data: want a directory"))
	}
	if _, _, err := net.SplitHostPort(f.listen); err != nil {
		problems = append(problems, fmt.Errorf("--listen: want host:port, got %q", f.listen))
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		problems = append(problems, errors.New("--tls-cert, --tls-key: want both or neither"))
	}
	if f.retention < time.Minute {
		problems = append(problems, errors.New("--retention: want a minute at least"))
	}
	if f.maxBody < 1<<10 || f.maxBody > 1<<30 {
		problems = append(problems, errors.New("--max-body: want 1KiB to 1GiB"))
	}
	if err := errors.Join(problems...); err != nil {
		return usageError{err}
	}
	return nil
}

// parseSize parses a number of bytes, optionally with KiB, MiB or GiB.
func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 32)
	if err != nil {
		return 0, errors.New("want bytes, or a number with KiB, MiB or GiB")
	}
	return n * unit, nil
}

func serve(ctx context.Context, args []string, std stdio) error {
	f, err := parseServe(args, std)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := newLog(std, f.debug)
	var keys *server.Keys
	if f.keyFile != "" {
		if keys, err = server.OpenKeys(f.keyFile); err != nil {
			return usageError{err}
		}
	}
	certificate, err := openCertificate(f)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // for the errors below; Run closes it too
	db, err := store.Open(ctx, f.data, store.Config{Retention: f.retention, QueueBatches: queueBatches, Log: log})
	if err != nil {
		return err
	}
	srv := server.New(server.Config{
		Storage: db, Certificate: certificate, Keys: keys, Log: log,
		MaxBodyBytes: f.maxBody, BudgetBytes: budgetBodies * f.maxBody,
	})
	announce(log, f, listener.Addr())
	err = runBoth(ctx, srv, db, listener)
	log.Info().Msg("stopped")
	return err
}

// runBoth runs the server and the store. It ends the store after the last
// request is answered.
func runBoth(ctx context.Context, srv *server.Server, db *store.Store, l net.Listener) error {
	storing, endStore := context.WithCancel(context.WithoutCancel(ctx))
	stored := make(chan error, 1)
	go func() { stored <- db.Run(storing) }()
	err := srv.Run(ctx, l)
	endStore()
	return errors.Join(err, <-stored)
}

func openCertificate(f serveFlags) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if f.tlsCert != "" {
		files, err := tlscert.OpenFiles(f.tlsCert, f.tlsKey)
		if err != nil {
			return nil, usageError{err}
		}
		return files.GetCertificate, nil
	}
	authority, err := tlscert.OpenAuthority(tlsDir(f.data), certificateNames(f.listen, f.tlsNames))
	if err != nil {
		return nil, err
	}
	return authority.GetCertificate, nil
}

func tlsDir(data string) string { return filepath.Join(data, "tls") }

// certificateNames returns the names by which a client on this machine, or a
// client that uses its host name, may know the ingest.
func certificateNames(listen string, more []string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if hostname, err := os.Hostname(); err == nil && hostname != "" {
		names = append(names, hostname)
	}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" && !isUnspecified(host) {
		names = append(names, host)
	}
	return append(names, more...)
}

func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

func announce(log zerolog.Logger, f serveFlags, addr net.Addr) {
	line := log.Info().Str("version", version).Str("endpoint", "https://"+addr.String()+server.BatchesPath).
		Str("data", f.data).Stringer("retention", f.retention).Int("pid", os.Getpid())
	if f.tlsCert == "" {
		line = line.Str("ca", filepath.Join(tlsDir(f.data), tlscert.CAFile))
	}
	line.Msg("serving")
	if ip := addr.(*net.TCPAddr).IP; f.keyFile == "" && !ip.IsLoopback() {
		log.Warn().Msg("no --api-key-file: anyone who reaches this port can read and write")
	}
}

// newLog logs as text on a terminal, and as JSON otherwise.
func newLog(std stdio, debug bool) zerolog.Logger {
	out := std.err
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		out = zerolog.ConsoleWriter{Out: f, TimeFormat: time.DateTime}
	}
	level := zerolog.InfoLevel
	if debug {
		level = zerolog.DebugLevel
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}
