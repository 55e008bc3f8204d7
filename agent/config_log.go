package agent

import (
	"fmt"
	"io"

	"github.com/rs/zerolog"
)

// NewLogger returns a logger as cfg describes it, writing to stderr unless cfg
// names a file, which it opens for appending. Close the file after the last
// line; it is nil for stderr.
func NewLogger(cfg LogConfig, stderr io.Writer) (zerolog.Logger, *LogFile, error) {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.Nop(), nil, fmt.Errorf("log level: %w", err)
	}
	out := stderr
	var file *LogFile
	if cfg.File != "" {
		if file, err = openLogFile(cfg.File); err != nil {
			return zerolog.Nop(), nil, &ConfigError{Problems: []Problem{{
				Variable: "HEKA_LOG_FILE",
				Wrong:    "cannot be opened (" + err.Error() + ")",
				Right:    "name a file this user may append to",
			}}}
		}
		out = file
	}
	if cfg.Format == "console" {
		out = zerolog.ConsoleWriter{Out: out, NoColor: cfg.File != "", TimeFormat: "15:04:05"}
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), file, nil
}
