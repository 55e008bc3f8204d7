package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/demo"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/server"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/tlscert"
	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/watch"
)

func watchHosts(ctx context.Context, args []string, std stdio) error {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	base := flags.String("url", "https://"+defaultListen, "the ingest's `URL`")
	ca := flags.String("ca", "", "`file` (PEM) of the CA that signed the ingest's certificate (default: the system's CAs)")
	keyFile := flags.String("api-key-file", "", "`file` with the API key, if the ingest requires one")
	once := flags.Bool("once", false, "show the hosts once and exit")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	client, err := watch.NewClient(*base, *ca, *keyFile)
	if err != nil {
		return usageError{err}
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cfg := watch.Config{Source: client, Out: std.out, Name: *base}
	if *once {
		return watch.Once(ctx, cfg)
	}
	return watch.Run(ctx, cfg)
}

// demoRestart is how long after its death the demo restarts a child when there
// is no terminal.
const demoRestart = 10 * time.Second

func runDemo(ctx context.Context, args []string, std stdio) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	agent := flags.String("agent", "", "the agent's `program` (required)")
	data := flags.String("data", ".run", "`directory` for the files of both programs")
	restart := flags.Duration("restart-after", demoRestart, "without a terminal, restart a program that died after this time")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	if *agent == "" {
		return usagef("--agent: want the agent's program")
	}
	cfg, err := prepareDemo(ctx, *agent, *data)
	if err != nil {
		return err
	}
	defer cfg.Client.Close()
	cfg.In, cfg.Out, cfg.RestartAfter = std.in, std.out, *restart
	return demo.Run(ctx, cfg)
}

// prepareDemo creates what the ingest and the agent share: a port, a
// certificate and an API key.
func prepareDemo(ctx context.Context, agent, data string) (demo.Config, error) {
	var cfg demo.Config
	data, err := filepath.Abs(data)
	if err != nil {
		return cfg, err
	}
	in := func(name ...string) string { return filepath.Join(append([]string{data}, name...)...) }
	if err := os.MkdirAll(data, 0o700); err != nil {
		return cfg, err
	}
	listen, note, err := freeAddress(ctx)
	if err != nil {
		return cfg, err
	}
	if _, err := tlscert.OpenAuthority(tlsDir(in("ingest")), certificateNames(listen, nil)); err != nil {
		return cfg, err
	}
	if err := ensureKey(in("api-key")); err != nil {
		return cfg, err
	}
	self, err := os.Executable()
	if err != nil {
		return cfg, err
	}
	ca := filepath.Join(tlsDir(in("ingest")), tlscert.CAFile)
	cfg.URL = "https://" + listen
	cfg.Ingest = []string{self, "serve", "--listen", listen, "--data", in("ingest"), "--api-key-file", in("api-key")}
	cfg.IngestEnv, cfg.IngestLog = os.Environ(), in("ingest.log")
	cfg.Agent, cfg.AgentLog = []string{agent}, in("agent.out")
	cfg.AgentEnv = demo.Env(os.Environ(),
		"HEKA_ENDPOINT="+cfg.URL+server.BatchesPath, "HEKA_TLS_CA_FILE="+ca, "HEKA_API_KEY_FILE="+in("api-key"),
		"HEKA_SPOOL_DIR="+in("spool"), "HEKA_LOG_FILE="+in("agent.log"))
	cfg.Notes = []string{"agent's own log " + in("agent.log")}
	if note != "" {
		cfg.Notes = append(cfg.Notes, note)
	}
	cfg.Client, err = watch.NewClient(cfg.URL, ca, in("api-key"))
	return cfg, err
}

// freeAddress returns the usual address. If its port is taken, it returns an
// address with a free port and a note that says so.
func freeAddress(ctx context.Context) (address, note string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", defaultListen)
	if err == nil {
		return defaultListen, "", l.Close()
	}
	l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	address = l.Addr().String()
	return address, fmt.Sprintf("%s is taken, so the ingest is at %s", defaultListen, address), l.Close()
}

// ensureKey creates a random API key unless there is one.
func ensureKey(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, rand.Text())
	return errors.Join(err, f.Close())
}
