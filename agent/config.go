package agent

import (
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/heka-insights/heka-insights-agent/collect/metric"
)

// Config is the resolved, checked configuration. LoadConfig makes it; nobody
// changes it afterwards. Copies share what their pointers and slices hold.
type Config struct {
	// Exporter is "console" or the name of a backend (encode.Backends).
	Exporter string
	// MetricNames is "otel", "heka" or "node": whose names the metrics have.
	MetricNames string
	// MetricPrefix is put before every metric's name, with a dot between, unless
	// the name begins with both; "" for none.
	MetricPrefix string
	// ShutdownTimeout bounds the last flush to the backend; spooling what is
	// left comes after it.
	ShutdownTimeout time.Duration
	// StateDir is where the agent keeps what it must remember; "" if this
	// process has no such place. It need not exist.
	StateDir string

	Identity IdentityConfig
	Collect  CollectConfig
	HTTP     HTTPConfig
	Ship     ShipConfig
	Spool    SpoolConfig
	Log      LogConfig
	Host     HostConfig

	// Hash is equal for hosts with the same variables set to the same values, those
	// that say who the agent is and the values of secrets aside.
	Hash string

	// PythonAgent says that variables of the Python agent configure this one, which
	// then names and prints as that did. PythonMetrics says that it also sends no
	// other metrics than that did, since nobody asked for more.
	PythonAgent, PythonMetrics bool

	settings []Setting
}

// IdentityConfig holds what the operator says about who this agent is.
type IdentityConfig struct {
	// AgentID and Hostname are "" when they are to be detected.
	AgentID, Hostname string
	// Attributes are the configured resource attributes, sorted by key.
	Attributes []Attribute
	// Kubernetes are the k8s.* attributes that the downward API's variables
	// give, in the order in which they are sent.
	Kubernetes []Attribute
}

// Attribute is a resource attribute and where it came from: a file's name, a
// variable's, or a phrase such as "uname".
type Attribute struct {
	metric.Label
	Source string
}

// CollectConfig says what to read from the host, and how often.
type CollectConfig struct {
	// Interval is the time between two ticks.
	Interval time.Duration
	// Timeout bounds one collector in one tick.
	Timeout time.Duration
	// Collectors holds names, without repetitions, in the order given.
	Collectors []string
	// AutoContainer says that HEKA_COLLECTORS is the default, so that the
	// collector container runs too if something limits this process.
	AutoContainer bool
	// Detailed is HEKA_DETAIL=detailed.
	Detailed bool
	// SelfMetrics is "full", "basic" or "off": how much the collector agent sends.
	SelfMetrics string
	// PerCore asks for a series per logical CPU.
	PerCore bool
	// MaxSeries bounds the series of a tick.
	MaxSeries int

	Disk, Filesystem, Network, Process Filter
	// FilesystemTypesExclude matches file system types to leave out; never nil.
	FilesystemTypesExclude *regexp.Regexp
	// ProcessTop is how many processes are reported for each of CPU and memory.
	ProcessTop int
	// TextfileDir is absolute, and set if the collector textfile is on.
	TextfileDir string
	// TextfileMaxAge is 0 for no limit.
	TextfileMaxAge time.Duration
}

// Filter selects by name. A nil pattern was not given.
type Filter struct{ Include, Exclude *regexp.Regexp }

// HTTPConfig says where batches go and how.
type HTTPConfig struct {
	// Endpoint is absolute, http or https, without credentials; nil when none
	// is set, which only the exporter console allows. Its query may hold a
	// secret: print it through RedactURL.
	Endpoint *url.URL
	// Headers are extra headers, none of them one that the agent sets itself.
	Headers []Header
	// HeadersFile holds more of them, as HEKA_HEADERS does, and wins; nil when it
	// is not set.
	HeadersFile *SecretSource
	// Auth holds at most one kind of credential.
	Auth AuthConfig
	// Compression is "gzip", "zstd" or "none".
	Compression string
	// Timeout bounds a whole request.
	Timeout time.Duration
	// MaxAge is how old a point may be that is sent; 0 for no limit.
	MaxAge time.Duration
	TLS    TLSConfig
}

// Format implements fmt.Formatter: it prints the redacted endpoint alone, so
// that a Config printed by mistake shows no query.
func (c HTTPConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, RedactURL(c.Endpoint)) }

// MarshalText does for encoders what Format does for fmt.
func (c HTTPConfig) MarshalText() ([]byte, error) { return []byte(RedactURL(c.Endpoint)), nil }

// AuthConfig holds credentials; a nil source was not set. Username and
// Password are either both set or both nil.
type AuthConfig struct {
	APIKey, BearerToken, Username, Password *SecretSource
}

// TLSConfig holds file names, each "" when not set. The files were readable
// and well-formed when the configuration was loaded.
type TLSConfig struct {
	CAFile string
	// CertFile and KeyFile are either both set or both "".
	CertFile, KeyFile  string
	ServerName         string
	InsecureSkipVerify bool
}

// ShipConfig says how batches are cut, queued, retried and drained.
type ShipConfig struct {
	// BatchInterval is the longest a sample waits; at least Collect.Interval.
	BatchInterval time.Duration
	// BatchMaxPoints and BatchMaxBytes cut a batch earlier.
	BatchMaxPoints int
	BatchMaxBytes  int64
	// QueueMaxBytes bounds the queue in memory; at least BatchMaxBytes.
	QueueMaxBytes int64
	// RetryInitial and RetryMax are the first and the longest backoff step.
	RetryInitial, RetryMax time.Duration
	// RetryAfterMax bounds a Retry-After.
	RetryAfterMax time.Duration
	// DrainFIFO is HEKA_DRAIN_ORDER=fifo: strictly in order.
	DrainFIFO bool
	// DrainMultiplier is at least 1.
	DrainMultiplier float64
}

// SpoolConfig says what is kept on disk.
type SpoolConfig struct {
	// Mode is "on_failure", "always" or "off".
	Mode string
	// Dir is absolute; "" only if Mode is "off". It need not exist.
	Dir string
	// MaxBytes has room for a record of ShipConfig.BatchMaxBytes.
	MaxBytes int64
	// MaxAge is 0 for no limit.
	MaxAge time.Duration
	// MinFreeBytes is SpoolMinFreeAuto, or the space to leave free.
	MinFreeBytes int64
	// Fsync is "always", "interval" or "never".
	Fsync string
}

// SpoolMinFreeAuto stands for 256 MiB or 5 % of the disk, whichever is less.
const SpoolMinFreeAuto = automatic

// LogConfig says what is logged where.
type LogConfig struct {
	// Level is a zerolog level's name, from "trace" to "error".
	Level string
	// Format is "json" or "console".
	Format string
	// File is absolute, or "" for stderr.
	File string
	// Lenient means stderr, with a warning, where File cannot be opened: the
	// Python agent's LOG_LOCATION named it.
	Lenient bool
}

// HostConfig holds gopsutil's variables HOST_PROC and so on, for an agent in a
// container that watches its host; each is "" when not set.
type HostConfig struct {
	Proc, Sys, Etc, Root, Run, Dev string
}

// Setting is one variable as LoadConfig resolved it, fit to be shown.
type Setting struct {
	// Name is the variable's name.
	Name string
	// Text is the value as an operator would write it, secrets redacted; ""
	// for a variable that has no value.
	Text string
	// Source says who set it.
	Source Source
}

// Settings returns every variable in the order of the documentation. The
// caller owns the slice.
func (c Config) Settings() []Setting { return append([]Setting(nil), c.settings...) }

// Problem is one thing that is wrong with the configuration. It never holds
// the value of a secret.
type Problem struct {
	// Variable is the variable's name, or "--env-file" and the file's.
	Variable string
	// Wrong says what is wrong, and Right what would be right.
	Wrong, Right string
}

// String returns the problem as one line.
func (p Problem) String() string { return p.Variable + ": " + p.Wrong + "; " + p.Right }

// ConfigError is every problem of a configuration, at least one.
type ConfigError struct {
	Problems []Problem
}

// Error returns one line a problem.
func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
