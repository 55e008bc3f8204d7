package agent

// IdentifyIn is Identify for a process whose own /proc and marks of a container
// are below root.
func IdentifyIn(cfg Config, remember bool, root string) (Identity, []string) {
	return identify(cfg, Build{Version: "v1"}, remember, lookAround(root, cfg.Host.Sys))
}

// LoadConfigOf is LoadConfig where the Python agent had its file elsewhere.
var LoadConfigOf = loadConfig

// ConsoleFormatOf is the format that run prints in.
var ConsoleFormatOf = consoleFormat
