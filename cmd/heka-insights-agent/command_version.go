package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/heka-insights/heka-insights-agent/agent"
)

// Set by the linker: -X main.version=… -X main.commit=….
var version, commit string

func setupVersion(*flag.FlagSet) action {
	return func(_ context.Context, _ string, stdout, _ io.Writer) error {
		b := build()
		_, err := fmt.Fprintf(stdout, "%s %s, commit %s, %s\n", program, b.Version, b.Commit, runtime.Version())
		return err
	}
}

// build returns the version and commit. `go install` sets no linker variables,
// but records them in the build information.
func build() agent.Build {
	b := agent.Build{Version: version, Commit: commit}
	info, _ := debug.ReadBuildInfo()
	if b.Version == "" {
		b.Version = "dev"
		if info != nil && info.Main.Version != "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
	}
	if b.Commit == "" {
		b.Commit = "unknown"
		if info != nil {
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					b.Commit = s.Value
				}
			}
		}
	}
	return b
}
