package agent

import (
	"fmt"
	"io"
	"os"

	"github.com/rs/zerolog"
)

// NewLogger returns a logger as cfg describes it, writing to stderr unless cfg
// names a file, which it opens for appending. Close the closer after the last
// line; it leaves stderr open.
func NewLogger(cfg LogConfig, stderr io.Writer) (zerolog.Logger, io.Closer, error) {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.Nop(), nil, fmt.Errorf("log level: %w", err)
	}
	out, closer := stderr, io.Closer(io.NopCloser(nil))
	if cfg.File != "" {
		file, err := os.OpenFile(cfg.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return zerolog.Nop(), nil, &ConfigError{Problems: []Problem{{
				Variable: "HEKA_LOG_FILE",
				Wrong:    "cannot be opened (" + withoutPath(err).Error() + ")",
				Right:    "name a file this user may append to",
			}}}
		}
		out, closer = file, file
	}
	if cfg.Format == "console" {
		out = zerolog.ConsoleWriter{Out: out, NoColor: cfg.File != "", TimeFormat: "15:04:05"}
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), closer, nil
}
