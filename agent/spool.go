package agent

import (
	"errors"
	"strings"
)

// SpoolDir returns the spool's directory as LoadConfig would resolve it, from
// the environment and, unless it is "", the dotenv file envFile. Whatever else
// is wrong with the configuration does not matter: to look into the spool must
// not take a sound one.
func SpoolDir(envFile string) (string, error) {
	l := &loader{stateDir: defaultStateDir()}
	if _, err := l.read(envFile); err != nil {
		return "", err
	}
	l.derive()
	for _, p := range l.problems {
		if p.Variable == "HEKA_SPOOL_DIR" || strings.HasPrefix(p.Variable, "--env-file ") {
			return "", &ConfigError{Problems: []Problem{p}}
		}
	}
	if dir := l.env.Heka.Spool.Dir.Value; dir != "" {
		return dir, nil
	}
	return "", errors.New("there is no home or state directory that could hold a spool; name its directory")
}
