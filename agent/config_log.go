package agent

import (
	"fmt"
	"io"

	"github.com/rs/zerolog"
)

// NewLogger returns a logger as cfg describes it, writing to stderr unless cfg
// names a file, which it opens for appending. Close the file after the last
// line; it is nil for stderr. The error is a *ConfigError.
func NewLogger(cfg LogConfig, stderr io.Writer) (zerolog.Logger, *LogFile, error) {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.Nop(), nil, fmt.Errorf("log level: %w", err)
	}
	out := stderr
	var file *LogFile
	var unopened error
	if cfg.File != "" {
		if file, err = openLogFile(cfg.File); err == nil {
			out = file
		} else if file, unopened = nil, err; !cfg.Lenient {
			return zerolog.Nop(), nil, &ConfigError{Problems: []Problem{{
				Variable: "HEKA_LOG_FILE",
				Wrong:    "cannot be opened (" + err.Error() + ")",
				Right:    "name a file this user may append to",
			}}}
		}
	}
	if cfg.Format == "console" {
		out = zerolog.ConsoleWriter{Out: out, NoColor: cfg.File != "", TimeFormat: "15:04:05"}
	}
	log := zerolog.New(out).Level(level).With().Timestamp().Logger()
	if unopened != nil {
		log.Warn().Err(unopened).Str("hint", "set HEKA_LOG_FILE to a file that this user may append to").
			Msg("LOG_LOCATION cannot be opened; logging to stderr")
	}
	return log, file, nil
}
