package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/encode"
)

// Connect tries the endpoint with the client, the credentials, the format and
// the compression that Run uses, and judges the answer by the rule of Run. The
// native format has a batch for that, an empty one, of which nothing is stored.
// Other formats have none, and a server may refuse it: then Connect sends one
// tick of this host, which is stored.
//
// It returns a line that says what was acknowledged, or an error that says what
// failed and what to do. An error is returned for every refusal, also of a
// compression that Run would replace by another one.
func Connect(ctx context.Context, cfg Config, build Build) (report string, err error) {
	to, known := encode.Find(cfg.Exporter)
	switch {
	case cfg.HTTP.Endpoint == nil:
		return "", errors.New("there is nothing to connect to: HEKA_ENDPOINT is not set")
	case !known:
		return "", fmt.Errorf("there is nothing to connect to: HEKA_EXPORTER=%s sends nothing", cfg.Exporter)
	}
	id, _ := Identify(cfg, build, false)
	client, err := newClient(cfg.Exporter, cfg.HTTP, id, build)
	if err != nil {
		return "", err
	}
	defer client.Close()
	if to.Native {
		p, err := emptyBatch(cfg, id, build)
		if err != nil {
			return "", err
		}
		tried := try(ctx, client, "an empty batch", p)
		if tried.accepted() || tried.other != "" || !mayBeBody(tried.Outcome) {
			return tried.report(cfg)
		}
	}
	p, err := oneTick(ctx, cfg, id, build)
	if err != nil {
		return "", err
	}
	return try(ctx, client, fmt.Sprintf("one real tick (%d points)", p.Points), p).report(cfg)
}

// trial is what came of one batch.
type trial struct {
	ship.Outcome
	what   string // what was sent, for people
	points int64
	took   time.Duration
	other  ship.Compression // with which it was accepted after it was refused; "" if with none
}

// try sends a batch as it is. If that is refused, it finds out whether it is the
// compression.
func try(ctx context.Context, client *ship.Client, what string, p ship.Payload) trial {
	start := time.Now()
	t := trial{Outcome: client.Send(ctx, p), what: what, points: p.Points, took: time.Since(start)}
	if t.accepted() || !mayBeBody(t.Outcome) {
		return t
	}
	plain, err := ship.Decompress(p.Body)
	if err != nil {
		return t
	}
	for _, kind := range weakerThan(p.Compression) {
		p.Body, err = ship.Compress(kind, plain)
		p.Compression = kind
		if err != nil {
			return t
		}
		if again := (trial{Outcome: client.Send(ctx, p), points: p.Points}); again.accepted() {
			t.other = kind
			return t
		}
	}
	return t
}

func weakerThan(kind ship.Compression) []ship.Compression {
	all := []ship.Compression{ship.CompressionZstd, ship.CompressionGzip, ship.CompressionNone}
	return all[slices.Index(all, kind)+1:]
}

// mayBeBody reports whether another body may be accepted where this one was not:
// a server that cannot read a body rarely says why.
func mayBeBody(o ship.Outcome) bool {
	switch o.Verdict {
	case ship.Reject, ship.Unsupported:
		return true
	case ship.Retry:
		return !o.Overload && (o.MayBeContent || o.Status >= 200 && o.Status < 300)
	default:
		return false
	}
}

// accepted reports whether the backend has something of the batch: one that
// acknowledges it and refuses each of its points has nothing, and so has one that
// was sent none of them, for their age.
func (t trial) accepted() bool {
	return t.Verdict == ship.Acked && (t.points == 0 || t.RejectedPoints < t.points)
}

func (t trial) report(cfg Config) (string, error) {
	endpoint := RedactURL(cfg.HTTP.Endpoint)
	if !t.accepted() {
		return "", fmt.Errorf("connect to %s, with %s: %s; %s", endpoint, t.what, t.cause(), t.hint())
	}
	report := fmt.Sprintf("connected: %s acknowledged %s in %s", endpoint, t.what, t.took.Round(time.Millisecond))
	if t.points > 0 {
		report += "; it stores that tick"
	}
	if t.RejectedPoints > 0 {
		report += fmt.Sprintf(" but for %d points that it refused: %s", t.RejectedPoints, cmp.Or(t.Cause, "it gave no reason"))
	}
	return report, nil
}

func (t trial) cause() string {
	switch {
	case t.Verdict != ship.Acked:
		return t.Cause
	case t.Unsent:
		return "nothing was sent: " + t.Cause
	default:
		return "it refused every point: " + cmp.Or(t.Cause, "it gave no reason")
	}
}

func (t trial) hint() string {
	switch {
	case t.other != "":
		return fmt.Sprintf("it accepts the same batch with HEKA_COMPRESSION=%s: set that", t.other)
	case t.Verdict == ship.Acked && t.Unsent:
		return "check HEKA_BACKEND_MAX_AGE, and this host's clock"
	case t.Verdict == ship.TooLarge:
		return "raise the limit of the backend, or of the proxy before it, on the size of a body"
	default:
		return cmp.Or(t.Hint, ship.HintNothingAccepted)
	}
}

// emptyBatch is the probe of the native format.
func emptyBatch(cfg Config, id Identity, build Build) (ship.Payload, error) {
	batch := metric.Batch{
		Agent:      metric.Agent{ID: id.AgentID, Version: build.Version, Epoch: newEpoch(), Seq: 1},
		Resource:   id.Resource(),
		IntervalMS: cfg.Collect.Interval.Milliseconds(),
	}
	body, err := ship.Compress(ship.Compression(cfg.HTTP.Compression), encode.Native{}.Append(nil, &batch))
	return ship.Payload{ID: batch.ID(), Body: body, Compression: ship.CompressionOf(body)}, err
}

// oneTick reads the host once, and returns the first batch that Run would make
// of that. Its epoch is drawn for it alone, so no batch of a process that runs
// has its id. It lacks the agent's own metrics: counts of this process between
// those of one that runs would look like a restart.
func oneTick(ctx context.Context, cfg Config, id Identity, build Build) (ship.Payload, error) {
	cfg.Spool.Mode = string(ship.SpoolOff)
	cfg.Ship.QueueMaxBytes, cfg.ShutdownTimeout = math.MaxInt64, time.Minute // it goes nowhere by itself
	cfg.Collect, _ = resolveContainer(cfg.Collect)
	others := slices.DeleteFunc(slices.Clone(cfg.Collect.Collectors), func(name string) bool { return name == selfName })
	if len(others) > 0 {
		cfg.Collect.Collectors = others
	}
	var made catcher
	p, err := assemble(ctx, cfg, id, build, func(Config, Identity, Build) (ship.Sender, func(), error) {
		return &made, func() {}, nil
	}, zerolog.Nop())
	if err != nil {
		return ship.Payload{}, err
	}
	if err := p.scheduler.Take(ctx, 1, 0); err != nil {
		return ship.Payload{}, err
	}
	p.queue.Close()
	if err := p.shipper.Run(ctx); err != nil {
		return ship.Payload{}, err
	}
	if len(made) == 0 {
		return ship.Payload{}, errors.New("there is nothing to send: the collectors read nothing; check HEKA_COLLECTORS, and: heka-insights-agent once")
	}
	return made[0], nil
}

// catcher is a Sender that keeps what it is given.
type catcher []ship.Payload

// Send takes every payload for delivered.
func (c *catcher) Send(_ context.Context, p ship.Payload) ship.Outcome {
	*c = append(*c, p)
	return ship.Outcome{Verdict: ship.Acked}
}

// Refreshed is always false: there are no files.
func (c *catcher) Refreshed() bool { return false }
