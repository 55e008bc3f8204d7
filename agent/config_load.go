package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kelseyhightower/envconfig"
	"golang.org/x/term"

	"github.com/heka-insights/heka-insights-agent/ship/backend"
)

// loader gathers everything there is to say about a configuration, so that an
// operator fixes it in one round.
type loader struct {
	env      environment
	stateDir string
	warnings []string
	problems []Problem
	auth     AuthConfig
	// headersFile is HEKA_HEADERS_FILE, nil if that is not set; fileHeaders is
	// what it holds now.
	headersFile *SecretSource
	fileHeaders []Header
	// backend is that of the exporter; the zero Backend for console.
	backend backend.Backend
	// endpointFrom names the variable that the endpoint comes from.
	endpointFrom string
	// python says that variables of the Python agent configure this one.
	python bool
	// pythonPath is where that agent had its variables.
	pythonPath string
}

// LoadConfig reads the process environment and, unless envFile is "", that
// dotenv file, whose variables it adds to the environment: what is set there
// already wins. Where neither says where to send, it reads the Python agent's
// file, if that is there. An empty or blank variable counts as unset. It reads the files that
// variables name, and writes nothing.
//
// warnings are lines for the operator, also beside an error. The error is a
// *ConfigError that lists every problem; the Config is then the zero Config.
func LoadConfig(envFile string) (cfg Config, warnings []string, err error) {
	return loadConfig(envFile, pythonEnvFile)
}

func loadConfig(envFile, pythonPath string) (cfg Config, warnings []string, err error) {
	l := &loader{stateDir: defaultStateDir(), endpointFrom: "HEKA_ENDPOINT", pythonPath: pythonPath}
	list, err := l.read(envFile)
	if err != nil {
		return Config{}, nil, err
	}
	l.usePython(list)
	l.useOtel()
	l.derive()
	l.check()
	names := namesOf(list)
	l.problems = append(l.problems, unknownVariables(append(names, intelligence))...)
	if len(l.problems) > 0 {
		return Config{}, l.warnings, &ConfigError{Problems: inOrder(l.problems, names)}
	}
	if !l.python { // which warns of its own variables, and has a list of collectors
		l.checkEffects(list)
	}
	return l.config(list), l.warnings, nil
}

// read takes the environment and the env file, and parses every variable.
func (l *loader) read(envFile string) ([]variable, error) {
	list := variables(&l.env)
	fromFile := l.loadEnvFile(envFile, slices.Concat(namesOf(list), slices.Collect(maps.Keys(PythonVariables()))))
	tidyEnvironment()
	if err := envconfig.Process("", &l.env); err != nil {
		return nil, fmt.Errorf("read the environment: %w", err)
	}
	l.resolve(list, fromFile)
	return list, nil
}

func namesOf(list []variable) []string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = v.name
	}
	return names
}

func (l *loader) fault(name string, f *fault) {
	if f != nil {
		l.problem(name, f.wrong, f.right)
	}
}

func (l *loader) problem(name, wrong, right string) {
	l.problems = append(l.problems, Problem{Variable: name, Wrong: wrong, Right: right})
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

// resolve parses every variable and notes where it came from. A proxy that is in
// force by its lower-case name has that in list afterwards.
func (l *loader) resolve(list []variable, fromFile map[string]bool) {
	for i, v := range list {
		if lower := strings.ToLower(v.name); isProxyVariable(v.name) && isBlank(os.Getenv(v.name)) && !isBlank(os.Getenv(lower)) {
			v.name = lower // which net/http falls back on
			list[i].name = lower
			_ = v.setting.Decode(os.Getenv(lower))
		}
		switch {
		case fromFile[v.name]:
			*v.setting.origin() = SourceEnvFile
		case !isBlank(os.Getenv(v.name)):
			*v.setting.origin() = SourceEnvironment
		}
		f := v.setting.resolve(v.tag)
		switch {
		case f == nil:
		case v.tag.Get("invalid") == "warn":
			if _, partial := v.setting.(*attributesVar); !partial || v.setting.show() == "" {
				*v.setting.origin() = SourceDefault
			}
			l.warn("%s: %s; %s; going on with %s", v.name, f.wrong, f.right, orNothing(v.setting.show()))
		default:
			l.fault(v.name, f)
		}
	}
}

func orNothing(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// derive fills in the defaults that depend on the host or on each other.
func (l *loader) derive() {
	h := &l.env.Heka
	if h.Exporter.Value == "" {
		h.Exporter.Value = "console"
		if h.Endpoint.isSet() {
			h.Exporter.Value = "heka"
		}
	}
	l.deriveBackend()
	if !h.Batch.Interval.isSet() {
		h.Batch.Interval.Value = max(h.Batch.Interval.Value, h.Interval.Value)
	}
	if h.Log.Format.Value == "" {
		h.Log.Format.Value = "json"
		if h.Log.File.Value == "" && term.IsTerminal(int(os.Stderr.Fd())) {
			h.Log.Format.Value = "console"
		}
	}
	switch {
	case h.Spool.Dir.Value != "":
	case l.stateDir != "":
		h.Spool.Dir.Value = filepath.Join(l.stateDir, "spool")
	case h.Spool.Mode.Value != "off":
		h.Spool.Mode.Value = "off"
		l.warn("HEKA_SPOOL_DIR: there is no home or state directory to keep a spool in; set it, or batches are held in memory alone")
	}
}

// inOrder sorts problems as the documentation lists their variables, unknown
// ones by name after them, what is no variable first.
func inOrder(problems []Problem, names []string) []Problem {
	rank := func(p Problem) int {
		if i := slices.Index(names, p.Variable); i >= 0 || p.Variable[0] == '-' {
			return i
		}
		return len(names)
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if byRank := rank(a) - rank(b); byRank != 0 || rank(a) < len(names) {
			return byRank
		}
		if a.Variable < b.Variable {
			return -1
		}
		return 1
	})
	return problems
}

// config copies the resolved variables to the shape that the agent's parts use.
func (l *loader) config(list []variable) Config {
	h := &l.env.Heka
	cfg := Config{
		Exporter:        h.Exporter.Value,
		MetricNames:     h.MetricNames.Value,
		MetricPrefix:    h.MetricPrefix.Value,
		ShutdownTimeout: h.ShutdownTimeout.Value,
		StateDir:        l.stateDir,
		Identity: IdentityConfig{
			AgentID:    h.AgentID.Value,
			Hostname:   h.Hostname.Value,
			Attributes: l.attributes(),
			Kubernetes: l.kubernetes(),
		},
		Collect: l.collectConfig(),
		HTTP: HTTPConfig{
			Endpoint:    h.Endpoint.Value,
			Headers:     h.Headers.Value,
			HeadersFile: l.headersFile,
			Auth:        l.auth,
			Compression: h.Compression.Value,
			Timeout:     h.Timeout.Value,
			MaxAge:      h.BackendMaxAge.Value,
			TLS: TLSConfig{
				CAFile:             h.TLS.CAFile.Value,
				CertFile:           h.TLS.CertFile.Value,
				KeyFile:            h.TLS.KeyFile.Value,
				ServerName:         h.TLS.ServerName.Value,
				InsecureSkipVerify: h.TLS.InsecureSkipVerify.Value,
			},
		},
		Ship: l.shipConfig(),
		Spool: SpoolConfig{
			Mode:         h.Spool.Mode.Value,
			Dir:          h.Spool.Dir.Value,
			MaxBytes:     h.Spool.MaxBytes.Value,
			MaxAge:       h.Spool.MaxAge.Value,
			MinFreeBytes: h.Spool.MinFree.Value,
			Fsync:        h.Spool.Fsync.Value,
		},
		Log: LogConfig{
			Level: h.Log.Level.Value, Format: h.Log.Format.Value,
			File: h.Log.File.Value, Lenient: h.Log.File.source == SourcePython,
		},
		Host:          l.hostConfig(),
		PythonAgent:   l.python,
		PythonMetrics: l.python && h.Collectors.source == SourcePython,
	}
	for _, v := range list {
		cfg.settings = append(cfg.settings, Setting{v.name, v.setting.show(), *v.setting.origin()})
	}
	cfg.Hash = hashSettings(cfg.settings)
	return cfg
}

// identityVariables are those that differ from host to host by their meaning.
var identityVariables = regexp.MustCompile(`^(HEKA_AGENT_ID|HEKA_HOSTNAME|(HEKA|OTEL)_RESOURCE_ATTRIBUTES|OTEL_SERVICE_NAME|K8S_.*|NODE_NAME|POD_.*|CONTAINER_NAME)$`)

// hashSettings hashes what is set, as it is shown: secrets are redacted there.
func hashSettings(settings []Setting) string {
	hash := sha256.New()
	for _, s := range settings {
		if s.Source != SourceDefault && !identityVariables.MatchString(s.Name) {
			fmt.Fprintf(hash, "%s=%s\n", s.Name, s.Text)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

func (l *loader) collectConfig() CollectConfig {
	h := &l.env.Heka
	return CollectConfig{
		Interval:               h.Interval.Value,
		Timeout:                h.CollectTimeout.Value,
		Collectors:             h.Collectors.Value,
		AutoContainer:          !h.Collectors.settles(containerName),
		Detailed:               h.Detail.Value == "detailed",
		SelfMetrics:            h.SelfMetrics.Value,
		PerCore:                h.CPU.PerCore.Value,
		MaxSeries:              h.MaxSeries.Value,
		Disk:                   Filter{h.Disk.Include.Value, h.Disk.Exclude.Value},
		Filesystem:             Filter{h.Filesystem.Include.Value, h.Filesystem.Exclude.Value},
		FilesystemTypesExclude: h.Filesystem.TypesExclude.Value,
		Network:                Filter{h.Network.Include.Value, h.Network.Exclude.Value},
		Process:                Filter{h.Process.Include.Value, h.Process.Exclude.Value},
		ProcessTop:             h.Process.Top.Value,
		TextfileDir:            h.Textfile.Dir.Value,
		TextfileMaxAge:         h.Textfile.MaxAge.Value,
	}
}

func (l *loader) shipConfig() ShipConfig {
	h := &l.env.Heka
	return ShipConfig{
		BatchInterval:   h.Batch.Interval.Value,
		BatchMaxPoints:  h.Batch.MaxPoints.Value,
		BatchMaxBytes:   h.Batch.MaxBytes.Value,
		QueueMaxBytes:   h.Queue.MaxBytes.Value,
		RetryInitial:    h.Retry.Initial.Value,
		RetryMax:        h.Retry.Max.Value,
		RetryAfterMax:   h.Retry.AfterMax.Value,
		DrainFIFO:       h.Drain.Order.Value == "fifo",
		DrainMultiplier: h.Drain.Multiplier.Value,
	}
}

func (l *loader) hostConfig() HostConfig {
	h := &l.env.Host
	return HostConfig{
		Proc: h.Proc.Value, Sys: h.Sys.Value, Etc: h.Etc.Value,
		Root: h.Root.Value, Run: h.Run.Value, Dev: h.Dev.Value,
	}
}
