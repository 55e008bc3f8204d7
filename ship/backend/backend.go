// Package backend is the vocabulary that delivery (package ship) and the formats
// of backends (package ship/encode) share: what delivery has to know of a
// backend, what it asks a format, and what a format makes of an answer. It does
// nothing by itself.
package backend

import (
	"net/http"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Backend describes one backend: a line of the table of exporters.
type Backend struct {
	// Name is its value of HEKA_EXPORTER.
	Name string
	// Native says that it is sent native bodies, as they are kept; Format only
	// judges its answers.
	Native bool
	// Format makes the bodies and judges the answers.
	Format Format
	// ContentType of a body.
	ContentType string
	// Endpoint is where batches go if no endpoint is configured; "" if one has
	// to be.
	Endpoint string
	// Path is what an endpoint without a path gets; "" for none.
	Path string
	// Query holds parameters that an endpoint gets unless it has them.
	Query map[string]string
	// TokenParameter is the query parameter that takes the batch id; "" for none.
	TokenParameter string
	// KeyHeader is the header that an API key goes to, after KeyScheme.
	KeyHeader, KeyScheme string
	// Compressions are the values of Content-Encoding that it takes, the one
	// that stands in for others first; it takes a body without one too.
	Compressions []string
	Limits       Limits
}

// Limits are what a backend refuses, or drops without a word, by its own
// documentation. The zero value has no limits.
type Limits struct {
	// Bytes bounds a body as it is sent, PlainBytes before its compression.
	Bytes, PlainBytes int
	// MaxAge and MaxAhead are how far from now, into the past and the future, a
	// point may be. Points beyond are not sent.
	MaxAge, MaxAhead time.Duration
}

// Format is a backend's wire format. It is pure, and safe for concurrent use.
type Format interface {
	// Append appends the body for b and returns the extended slice. A null is no
	// point. The same batch makes the same body.
	Append(dst []byte, b *metric.Batch) []byte
	// Judge says what an answer means. known is false where the backend has no
	// rule of its own: then the general ones hold (docs/delivery.md), by which a
	// 2xx is no acknowledgement.
	Judge(sent Sent, a Answer) (j Judgement, known bool)
}

// Sent is what was sent in a request.
type Sent struct {
	// ID is the batch id, with the part if it is one.
	ID string
	// Points is how many points the body held.
	Points int64
	// Batch is what the body was made of; nil for a native body.
	Batch *metric.Batch
}

// Answer is a response.
type Answer struct {
	Status int
	Header http.Header
	// Body is cut off after 64 KiB.
	Body []byte
}

// Judgement is what an answer means.
type Judgement struct {
	Verdict Verdict
	// Cause says what happened, in a few words without secrets; for what was
	// acknowledged it may be empty.
	Cause string
	// Hint says what to do about it; may be empty.
	Hint string
	// Overload marks answers that ask for less.
	Overload bool
	// Rejected is refused for good.
	Rejected metric.Rejected
	// Again are the points that the backend did not take this time. If there are
	// any, all others that are not rejected are delivered. These are sent again:
	// with Acked at once; with Retry after a while; with Reject at once, and what
	// is rejected counts as such only if the backend then accepts something.
	Again []metric.Place
}

// Verdict is what delivery does about the outcome of a request.
type Verdict uint8

// The verdicts. The zero Verdict is Retry: when in doubt, keep the batch.
const (
	// Retry: not delivered, and nothing says that it never will be.
	Retry Verdict = iota
	// Acked: the backend has the batch.
	Acked
	// Reject: the backend refuses something in this batch, whatever the weather.
	Reject
	// TooLarge: it would take a smaller one.
	TooLarge
	// Unsupported: it would take another compression.
	Unsupported
	// Decline: the backend refuses this batch for a reason that is not in its
	// points.
	Decline
	// Pause: nothing will be accepted until a person fixes something.
	Pause
)
