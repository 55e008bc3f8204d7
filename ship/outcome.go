package ship

import (
	"context"
	"net/http"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// Verdict is what the shipper does about a request's outcome.
type Verdict = backend.Verdict

// The verdicts, as package backend describes them.
const (
	Retry       = backend.Retry
	Acked       = backend.Acked
	Reject      = backend.Reject
	TooLarge    = backend.TooLarge
	Unsupported = backend.Unsupported
	Decline     = backend.Decline
	Pause       = backend.Pause
)

// Outcome is what became of one request.
type Outcome struct {
	Verdict Verdict
	// Status is the answer's HTTP status; 0 if there was none.
	Status int
	// Cause says what happened, in a few words without secrets.
	Cause string
	// Hint says what to do about it, naming the variable; may be empty.
	Hint string
	// After is how long the backend asks to be left alone; 0 if it does not.
	After time.Duration
	// Overload marks answers that ask for less: 429, 503, a timeout.
	Overload bool
	// RejectedPoints counts points of an acked batch that the backend refused
	// for good; Cause holds the first reason.
	RejectedPoints int64
	// RejectedSeries and RejectedPlaces say which RejectedPoints are, as far as
	// the backend does: whole series, and single points.
	RejectedSeries []int
	RejectedPlaces []metric.Place
	// OutsidePlaces are those of RejectedPoints that were not sent, since their
	// time is outside of what the backend takes.
	OutsidePlaces []metric.Place
	// MayBeContent marks a failure that may be about what was sent: a 403, a
	// server error that speaks of no load, a connection that broke.
	MayBeContent bool
	// NoConnection says that the request did not leave this host: nobody has it.
	NoConnection bool
	// Unsent says that no request was made: it tells nothing of the backend.
	Unsent bool
}

// fateUnknown reports whether the backend may have what was sent, though it did
// not say so.
func (o *Outcome) fateUnknown() bool {
	switch o.Status {
	case 0:
		return !o.NoConnection && !o.Unsent
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	default:
		return o.Status < http.StatusMultipleChoices
	}
}

// Payload is one request's body and what identifies it.
type Payload struct {
	// ID is the batch id, the same for every attempt.
	ID string
	// Points is how many points the body holds.
	Points int64
	// Body is the native batch, compressed as Compression says. The sender must
	// not change it; for a backend with another format it makes another body of
	// it, in the same compression.
	Body        []byte
	Compression Compression
}

// Sender makes one attempt to deliver a payload. Send blocks until the
// outcome is known or ctx ends, which is a Retry. No two methods are ever
// called concurrently.
type Sender interface {
	Send(ctx context.Context, p Payload) Outcome
	// Refreshed reports whether anything that the sender reads from files
	// (credentials, certificates) has changed since the last Send: a reason
	// to try again at once.
	Refreshed() bool
}
