package agent

import (
	"errors"
	"fmt"

	"github.com/kelseyhightower/envconfig"
)

// SpoolDir returns the spool's directory as LoadConfig would resolve it, from
// the environment and, unless it is "", the dotenv file envFile. Whatever else
// is wrong with the configuration does not matter: to look into the spool must
// not take a sound one.
func SpoolDir(envFile string) (string, error) {
	l := &loader{stateDir: defaultStateDir()}
	fromFile, f := loadEnvFile(envFile)
	l.fault("--env-file", f)
	if err := envconfig.Process("", &l.env); err != nil {
		return "", fmt.Errorf("read the environment: %w", err)
	}
	l.resolve(variables(&l.env), fromFile)
	l.derive()
	for _, p := range l.problems {
		if p.Variable == "HEKA_SPOOL_DIR" || p.Variable == "--env-file" {
			return "", &ConfigError{Problems: []Problem{p}}
		}
	}
	if dir := l.env.Heka.Spool.Dir.Value; dir != "" {
		return dir, nil
	}
	return "", errors.New("there is no home or state directory that could hold a spool; name its directory")
}
