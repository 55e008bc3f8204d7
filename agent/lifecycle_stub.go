package agent

import (
	"context"
	"io"

	"github.com/rs/zerolog"
)

// Build says which build of the agent is running.
type Build struct{ Version, Commit string }

// Run runs the agent until ctx is cancelled.
func Run(ctx context.Context, cfg Config, build Build, stdout io.Writer, log zerolog.Logger) error {
	<-ctx.Done()
	return nil
}

// Once prints one batch.
func Once(ctx context.Context, cfg Config, build Build, format string, stdout io.Writer, log zerolog.Logger) error {
	return nil
}

// Connect makes one authenticated empty round trip.
func Connect(ctx context.Context, cfg Config, build Build, log zerolog.Logger) (report string, err error) {
	return "", nil
}
