package agent

// environment is every variable the agent reads, and the source of its
// documentation. A field's name in split words, under those of its groups, is
// the variable's name. There is no `envconfig:"NAME"` tag: envconfig would
// read the un-prefixed NAME too.
//
// Tags: default is the value when nobody sets one, unset describes a default
// that depends on the host or on other variables; min and max are bounds;
// choices lists what is allowed; invalid:"warn" makes a fault a warning and
// keeps the default; group starts a section of the documentation.
type environment struct {
	Heka       hekaVariables
	HTTPSProxy proxyVar `split_words:"true" group:"Standard variables" desc:"proxy for https endpoints; credentials in it are not printed. The lower-case names of these three count where the others are not set"`
	HTTPProxy  proxyVar `split_words:"true" desc:"proxy for http endpoints"`
	NoProxy    hostsVar `split_words:"true" desc:"hosts that are reached without a proxy"`
	Host       struct {
		Proc pathVar `split_words:"true" unset:"/proc" desc:"where the watched host's /proc is mounted, for an agent in a container"`
		Sys  pathVar `split_words:"true" unset:"/sys" desc:"the same for /sys"`
		Etc  pathVar `split_words:"true" unset:"/etc" desc:"the same for /etc"`
		Root pathVar `split_words:"true" unset:"/" desc:"the same for /"`
		Run  pathVar `split_words:"true" unset:"/run" desc:"the same for /run"`
		Dev  pathVar `split_words:"true" unset:"/dev" desc:"the same for /dev"`
	}
	Otel struct {
		ResourceAttributes attributesVar `split_words:"true" invalid:"warn" desc:"resource attributes, as OpenTelemetry defines it; HEKA_RESOURCE_ATTRIBUTES wins"`
		ServiceName        lineVar       `split_words:"true" invalid:"warn" desc:"the resource attribute service.name; HEKA_RESOURCE_ATTRIBUTES wins"`
		Exporter           struct {
			OTLP        otlpVariables `split_words:"true"`
			OTLPMetrics otlpVariables `split_words:"true"`
		}
	}
	K8s struct {
		NodeName      lineVar `split_words:"true" invalid:"warn" group:"Kubernetes" desc:"the resource attribute k8s.node.name, from the downward API (spec.nodeName); also host.name, unless HEKA_HOSTNAME or the hostname in HOST_ETC is there"`
		NamespaceName lineVar `split_words:"true" invalid:"warn" desc:"k8s.namespace.name (metadata.namespace)"`
		Namespace     lineVar `split_words:"true" invalid:"warn" desc:"the same, if K8S_NAMESPACE_NAME is not set"`
		PodName       lineVar `split_words:"true" invalid:"warn" desc:"k8s.pod.name (metadata.name)"`
		PodUID        lineVar `split_words:"true" invalid:"warn" desc:"k8s.pod.uid (metadata.uid)"`
		ContainerName lineVar `split_words:"true" invalid:"warn" desc:"k8s.container.name"`
	}
	NodeName lineVar `split_words:"true" invalid:"warn" desc:"for K8S_NODE_NAME if that is not set; like the four below it counts only in a pod, where KUBERNETES_SERVICE_HOST is set"`
	Pod      struct {
		Namespace lineVar `split_words:"true" invalid:"warn" desc:"for K8S_NAMESPACE_NAME"`
		Name      lineVar `split_words:"true" invalid:"warn" desc:"for K8S_POD_NAME"`
		UID       lineVar `split_words:"true" invalid:"warn" desc:"for K8S_POD_UID"`
	}
	ContainerName lineVar `split_words:"true" invalid:"warn" desc:"for K8S_CONTAINER_NAME"`
}

// hekaVariables are those with the prefix HEKA_.
type hekaVariables struct {
	Exporter    choiceVar   `split_words:"true" group:"Where to" choices:"heka,console,otlp,datadog,newrelic,splunk,elasticsearch,clickhouse,victoriametrics" unset:"heka if HEKA_ENDPOINT is set, otlp if an endpoint of OpenTelemetry is, else console" desc:"whose wire format: heka is this project's own, console prints"`
	Endpoint    endpointVar `split_words:"true" unset:"the vendor's, for datadog and newrelic" desc:"absolute URL that batches are POSTed to; one without a path gets the exporter's"`
	Headers     headersVar  `split_words:"true" desc:"extra request headers; values are never printed, and cannot hold a comma"`
	HeadersFile pathVar     `split_words:"true" desc:"file that holds them, on one line; read again when it changes and after a 401 or 403"`

	APIKey          secretVar   `split_words:"true" group:"Credentials" desc:"API key, sent where the exporter's backend expects it: as x-api-key by heka"`
	APIKeyFile      pathVar     `split_words:"true" desc:"file that holds it; read again when it changes and after a 401 or 403"`
	BearerToken     secretVar   `split_words:"true" desc:"token, sent as Authorization: Bearer"`
	BearerTokenFile pathVar     `split_words:"true" desc:"file that holds it, likewise"`
	Username        secretVar   `split_words:"true" desc:"user of HTTP basic authentication"`
	UsernameFile    pathVar     `split_words:"true" desc:"file that holds it, likewise"`
	Password        secretVar   `split_words:"true" desc:"password of HTTP basic authentication"`
	PasswordFile    pathVar     `split_words:"true" desc:"file that holds it, likewise"`
	Compression     choiceVar   `split_words:"true" group:"Transport" default:"gzip" choices:"gzip,zstd,none" desc:"Content-Encoding of a batch"`
	Timeout         durationVar `split_words:"true" default:"30s" min:"100ms" max:"1h" desc:"a whole request, from dialling to the end of the answer"`
	TLS             struct {
		CAFile             pathVar    `split_words:"true" unset:"the system's" desc:"PEM file of the authorities to trust; read again when it changes"`
		CertFile           pathVar    `split_words:"true" desc:"PEM client certificate for mutual TLS; read again when it changes"`
		KeyFile            pathVar    `split_words:"true" desc:"PEM key of that certificate"`
		ServerName         lineVar    `split_words:"true" unset:"the endpoint's host" desc:"name to expect in the server's certificate"`
		InsecureSkipVerify booleanVar `split_words:"true" default:"false" desc:"accept any server certificate; for tests only"`
	}
	BackendMaxAge  durationVar `split_words:"true" min:"0" max:"87600h" unset:"what the exporter's backend takes" desc:"older points are not sent but kept as dead letters; 0 for no limit"`
	AllowPlaintext booleanVar  `split_words:"true" default:"false" desc:"allow http:// to a host that is not loopback; never allowed together with credentials"`

	Interval    durationVar `split_words:"true" group:"Collecting" default:"5s" min:"100ms" max:"24h" invalid:"warn" desc:"time between two ticks; an invalid value warns and means 5s"`
	Collectors  listVar     `split_words:"true" default:"cpu,memory,disk,filesystem,network,load,paging,system,agent" choices:"cpu,memory,disk,filesystem,network,load,paging,system,agent,pressure,container,process,textfile" desc:"what to collect; +name and -name change the default list; container is on by itself when this does not name it, in such a change or not being set, and the agent's own cgroup has a CPU or memory limit"`
	Detail      choiceVar   `split_words:"true" default:"basic" choices:"basic,detailed" desc:"which metrics of each collector: docs/metrics.md"`
	SelfMetrics choiceVar   `split_words:"true" default:"basic" choices:"full,basic,off" desc:"how much the collector agent sends of the agent itself: docs/metrics.md"`
	CPU         struct {
		PerCore booleanVar `split_words:"true" default:"false" desc:"a series per logical CPU"`
	}
	Disk struct {
		Include patternVar `split_words:"true" unset:"whole physical disks" desc:"block devices to report, by kernel name; replaces the default"`
		Exclude patternVar `split_words:"true" desc:"block devices to leave out of those"`
	}
	Filesystem struct {
		Include      patternVar `split_words:"true" unset:"all but bind mounts and further mounts of a device" desc:"mount points to report; replaces the default"`
		Exclude      patternVar `split_words:"true" desc:"mount points to leave out of those"`
		TypesExclude patternVar `split_words:"true" desc:"file system types to leave out; replaces the default, ^$ leaves out none"`
	}
	Network struct {
		Include patternVar `split_words:"true" unset:"all but loopback and virtual ones" desc:"interfaces to report; replaces the default, . is all"`
		Exclude patternVar `split_words:"true" desc:"interfaces to leave out of those"`
	}
	Process struct {
		Include patternVar `split_words:"true" desc:"processes to report, by name; those of HEKA_PROCESS_TOP come on top"`
		Exclude patternVar `split_words:"true" desc:"processes to leave out of all"`
		Top     integerVar `split_words:"true" default:"10" min:"0" max:"10000" desc:"how many of the processes that take the most CPU, and as many of those with the most memory, from their second tick on; in an hour no more of them than fill half of HEKA_MAX_SERIES"`
	}
	Textfile struct {
		Dir    pathVar     `split_words:"true" absolute:"true" desc:"directory of *.prom files in Prometheus text format, for the collector textfile"`
		MaxAge durationVar `split_words:"true" default:"25h" min:"0" max:"87600h" desc:"older files are left out and reported; 0 for no limit"`
	}
	MetricNames    choiceVar   `split_words:"true" default:"otel" choices:"otel,heka,node" desc:"names of the metrics: OpenTelemetry's, the Python agent's, or node_exporter's"`
	MetricPrefix   prefixVar   `split_words:"true" desc:"put before the name of every metric, with a dot between; not before one that begins with it"`
	CollectTimeout durationVar `split_words:"true" default:"2s" min:"10ms" max:"1h" desc:"per collector; one that hangs is skipped, counted and reported; never waits longer than half of HEKA_INTERVAL"`
	MaxSeries      integerVar  `split_words:"true" default:"10000" min:"1" max:"10000000" desc:"bound on series; over it the newest are dropped and counted"`

	Batch struct {
		Interval  durationVar `split_words:"true" group:"Batches and delivery" default:"15s" min:"100ms" max:"24h" desc:"longest a sample waits before it is shipped; below HEKA_INTERVAL it means every tick"`
		MaxPoints integerVar  `split_words:"true" default:"20000" min:"1" max:"10000000" desc:"cut a batch earlier at this many points"`
		MaxBytes  sizeVar     `split_words:"true" default:"1MiB" min:"4KiB" max:"64MiB" desc:"cut a batch earlier at this size, before compression"`
	}
	Queue struct {
		MaxBytes sizeVar `split_words:"true" default:"4MiB" min:"4KiB" max:"1GiB" desc:"bound of the queue in memory; over it the oldest batches go to the spool"`
	}
	Retry struct {
		Initial  durationVar `split_words:"true" default:"1s" min:"10ms" max:"1h" desc:"first step of the backoff"`
		Max      durationVar `split_words:"true" default:"60s" min:"10ms" max:"24h" desc:"longest step of the backoff"`
		AfterMax durationVar `split_words:"true" default:"15m" min:"1s" max:"168h" desc:"longest Retry-After that is obeyed"`
	}
	Drain struct {
		Order      choiceVar `split_words:"true" default:"live-first" choices:"live-first,fifo" desc:"after an outage: fresh batches beside the backlog, or strictly in order"`
		Multiplier floatVar  `split_words:"true" default:"4" min:"1" max:"1000" desc:"how many times the live rate a backlog may be sent at"`
	}
	ShutdownTimeout durationVar `split_words:"true" default:"5s" min:"100ms" max:"1h" desc:"last tick, flush, spool the rest"`

	Spool struct {
		Mode     choiceVar   `split_words:"true" group:"Spool" default:"on_failure" choices:"on_failure,always,off" desc:"when batches go to disk"`
		Dir      pathVar     `split_words:"true" absolute:"true" unset:"$STATE_DIRECTORY/spool; as root /var/lib/heka-insights-agent/spool; else $XDG_STATE_HOME/heka-insights-agent/spool" desc:"its directory (0700, files 0600); if others own it or may write to it, the spool is in a folder of its own there"`
		MaxBytes sizeVar     `split_words:"true" default:"256MiB" min:"1MiB" max:"1048576GiB" desc:"over it the oldest batches are dropped and counted"`
		MaxAge   durationVar `split_words:"true" default:"168h" min:"0" max:"87600h" desc:"older batches are dropped and counted; 0 for no limit"`
		MinFree  sizeVar     `split_words:"true" default:"auto" desc:"space to leave free on the disk; auto is 256MiB or 5 % of the disk, whichever is less"`
		Fsync    choiceVar   `split_words:"true" default:"interval" choices:"always,interval,never" desc:"interval is once a second"`
	}

	AgentID            identifierVar `split_words:"true" group:"Identity" unset:"derived from the machine id, and where there may be several agents from what tells them apart; in a pod without one from K8S_POD_UID" desc:"stable name of this agent, sent as X-Agent-Id"`
	Hostname           lineVar       `split_words:"true" unset:"the hostname in HOST_ETC, else K8S_NODE_NAME, /etc/hostname, the kernel's; localhost only if all are" desc:"the resource attribute host.name"`
	ResourceAttributes attributesVar `split_words:"true" desc:"resource attributes, sent with every batch"`

	Log struct {
		Level  choiceVar `split_words:"true" group:"Logging" default:"info" choices:"trace,debug,info,warn,error" desc:"least severe line to log"`
		Format choiceVar `split_words:"true" choices:"json,console" unset:"json, or console on a terminal" desc:"form of a line"`
		File   pathVar   `split_words:"true" absolute:"true" unset:"stderr" desc:"file to append to (0640), no symbolic link; at 10 MiB it becomes .1, and four such old ones stay"`
	}
}

// otlpVariables are OpenTelemetry's variables of an OTLP exporter
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
type otlpVariables struct {
	Endpoint          endpointVar    `split_words:"true" invalid:"warn" desc:"for HEKA_ENDPOINT, if that is not set: where the exporter otlp sends to; without METRICS a base that /v1/metrics is added to. This and the seven below count only for that exporter, without HEKA_ENDPOINT, and with METRICS before those without"`
	Headers           otelHeadersVar `split_words:"true" invalid:"warn" desc:"for HEKA_HEADERS, percent-encoded; values are never printed"`
	Timeout           integerVar     `split_words:"true" min:"100" max:"3600000" invalid:"warn" unset:"HEKA_TIMEOUT" desc:"for HEKA_TIMEOUT, in milliseconds"`
	Compression       choiceVar      `split_words:"true" choices:"gzip,none" invalid:"warn" desc:"for HEKA_COMPRESSION"`
	Certificate       pathVar        `split_words:"true" invalid:"warn" desc:"for HEKA_TLS_CA_FILE"`
	ClientCertificate pathVar        `split_words:"true" invalid:"warn" desc:"for HEKA_TLS_CERT_FILE"`
	ClientKey         pathVar        `split_words:"true" invalid:"warn" desc:"for HEKA_TLS_KEY_FILE"`
	Protocol          choiceVar      `split_words:"true" choices:"http/json,http/protobuf,grpc" invalid:"warn" desc:"http/json is spoken whatever this says; with grpc there is a warning, since its port (4317) takes nothing else"`
}
