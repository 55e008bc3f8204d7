# `make help` lists the targets. Whatever a target needs beyond Go and make, it
# installs itself, at the version pinned here.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GOLANGCI_LINT := v2.15.0
GOTESTSUM     := v1.12.3

TOOLS   := $(CURDIR)/.bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
TARGETS := linux/amd64 linux/arm64 linux/arm linux/riscv64

export CGO_ENABLED := 0

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 16

.PHONY: build
build: ## build both programs into bin/
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/heka-insights-agent ./cmd/heka-ingest

.PHONY: run
run: build ## start an ingest and an agent, and watch this host's metrics arrive
	@bin/heka-ingest demo --agent bin/heka-insights-agent --data .run

# Tests of package ship that take hours of virtual time; none of them says more
# under the race detector than others do, and it takes five times as long.
LONG := ^Test(Refus|OneBadPoint|PartsKeepTheirNames|ABodyWithoutAnAnswer|EveryPointIsAccounted|CompressionOutlives|TooLargeBatches|MemoryBoundKeeps)

.PHONY: test
test: compiler faults proxies peers $(TOOLS)/gotestsum-$(GOTESTSUM) ## what proves the promises, race detector on; e2e does so with other people's backends
	CGO_ENABLED=1 $(TOOLS)/gotestsum-$(GOTESTSUM) --format pkgname --format-hide-empty-pkg -- -race -shuffle=on -timeout 14m -skip '$(LONG)' $$(go list ./... | grep -v /ship/encode/truth)
	$(MAKE) --no-print-directory refusals simulate fleet fuzz

.PHONY: e2e
e2e: backends ## the agent against real backends, which read back what was sent
	go test -timeout 20m ./ship/encode/truth/...
	@for module in collect/truth/hostmetrics ship/encode/truth/collector ship/encode/truth/datadog; do \
	(cd $$module && go vet ./... && go mod tidy -diff); done

.PHONY: check
check: lint fresh tidy cross ## format, vet, lint, generated docs, go.mod, cross-compilation

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT) ## format, vet and lint
	$< run ./...

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT) ## format the code
	$< fmt ./...

.PHONY: docs
docs: ## write the generated pages of docs/
	go run ./cmd/heka-insights-agent config --format markdown > docs/configuration.md
	go run ./cmd/heka-insights-agent/metricsdoc > docs/metrics.md

.PHONY: fresh
fresh: ## fail if a generated page of docs/ is out of date
	@diff -u docs/configuration.md <(go run ./cmd/heka-insights-agent config --format markdown) || { echo 'run: make docs'; exit 1; }
	@diff -u docs/metrics.md <(go run ./cmd/heka-insights-agent/metricsdoc) || { echo 'run: make docs'; exit 1; }

.PHONY: tidy
tidy: ## fail if go.mod or go.sum is not tidy
	go mod tidy -diff
	go mod verify

.PHONY: cross
cross: ## compile for every supported system
	@for target in $(TARGETS); do echo "build $$target"; \
	GOOS=$${target%/*} GOARCH=$${target#*/} go build -o /dev/null ./cmd/heka-insights-agent; done

.PHONY: bench
bench: ## benchmarks, and the agent's own memory and CPU over TLS
	go test -run '^$$' -bench . -benchmem ./collect/... ./ship/... ./spool/...
	go test -run '^$$' -bench Footprint -benchtime 1x -timeout 30m ./cmd/heka-insights-agent/e2e

# What to fuzz, package:target:executions, about 6 s each on two processors. With
# a duration in place of a count, a run fails now and then when it ends
# (golang/go#75804).
FUZZ := ./spool:FuzzImage:10000 ./spool:FuzzFiles:12000 ./spool:FuzzLedger:40000 ./spool:FuzzSidecar:20000 ./spool:FuzzLetter:40000 \
	./spool:FuzzInspect:7000 ./ship/encode:FuzzDecode:120000 ./ship/encode:FuzzJudge:100000 ./collect/promtext:FuzzParse:80000 \
	./collect:FuzzProcessStat:200000 ./collect:FuzzMountinfo:80000 ./agent:FuzzEnvFileGrammar:15000 ./cmd/heka-ingest/internal/wire:FuzzDecode:120000
FUZZ_TIMES ?= 1

.PHONY: fuzz
fuzz: ## fuzz every parser for about 6 s each, FUZZ_TIMES times as long (default 1)
	@for target in $(FUZZ); do IFS=: read -r package name count <<< "$$target"; \
	echo "fuzz $$package $$name"; \
	go test -run '^$$' -fuzz "^$$name$$" -fuzzminimizetime 10x -fuzztime $$((count * $(FUZZ_TIMES)))x -timeout 0 "$$package"; done

.PHONY: refusals
refusals: ## what a backend may refuse, row by row, in hours of virtual time
	go test -run '$(LONG)' -timeout 8m ./ship

.PHONY: e2e-mutants
e2e-mutants: ## break each rule of docs/delivery.md#refusals and have its test see it (15 minutes)
	go test -run '^TestMutantsOfRefusals$$' -timeout 60m ./ship -mutants

.PHONY: simulate
simulate: ## simulate agents on failing disks and networks, SEEDS times (default 1000)
	go test -run '^TestSimulation$$' -timeout 0 ./spool -sim.seeds $(or $(SEEDS),1000)

AGENTS ?= 10000

.PHONY: fleet
fleet: ## simulate AGENTS agents (default 10000) whose ingest is dead for an hour; compare docs/fleet.md, or with WRITE=1 write it
	go test -v -run '^TestFleet' -timeout 60m ./ship -fleet $(AGENTS) $(if $(WRITE),-write $(CURDIR)/docs)

.PHONY: fleet-refusals
fleet-refusals: ## simulate AGENTS agents whose backend begins to refuse a series of each (10,000: 10 minutes)
	go test -v -run '^TestRefusingFleet$$' -timeout 60m ./ship -fleet $(AGENTS)

IMAGES ?= 1000000
KILLS  ?= 10000
ROUNDS ?= 10000
SOAK   ?= 440

.PHONY: soak
soak: compiler ## what takes longer than make test: SEEDS chaos runs, a fleet of 100,000, IMAGES crash images, KILLS kills, ROUNDS of killed agents and ingests, and SOAK times the fuzzing (default 440: about 8 hours)
	CGO_ENABLED=1 go test -race -timeout 60m -run EveryPoint ./ship -seeds $(or $(SEEDS),1000)
	$(MAKE) simulate SEEDS=$(or $(SEEDS),100000)
	$(MAKE) fleet AGENTS=100000
	HEKA_TEST_CPU_OFFLINE=1 go test -run '^TestARealCPUGoesOffline$$' ./collect
	go test -timeout 0 -run '^TestCrash' ./spool -images $(IMAGES)
	go test -timeout 0 -run '^TestKill' ./spool -kills $(KILLS)
	go test -timeout 0 -run '^TestKills' ./cmd/heka-insights-agent/e2e -rounds $(ROUNDS)
	$(MAKE) fuzz FUZZ_TIMES=$(SOAK)

# The race detector needs a C compiler.
.PHONY: compiler
compiler:
	@command -v $$(go env CC) >/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev; }

# The tests with faults of the real kernel: what is missing, they skip and say so.
.PHONY: faults
faults:
	@type -P strace mkfs.ext4 losetup >/dev/null || ! command -v apt-get >/dev/null || [[ $$(id -u) != 0 ]] || \
	{ apt-get update -q && apt-get install -qy --no-install-recommends strace e2fsprogs mount; } || true

# The proxies that delivery is tested through, likewise. The tests start their
# own, but the package of squid may start one as a service.
.PHONY: proxies
proxies:
	@[[ -x /usr/sbin/squid && -x /usr/bin/tinyproxy && -x /usr/bin/htpasswd ]] || ! command -v apt-get >/dev/null || [[ $$(id -u) != 0 ]] || \
	{ apt-get update -q && apt-get install -qy --no-install-recommends squid tinyproxy-bin apache2-utils; } || true

# The agent that our readings are compared with, likewise: it is started by the
# tests, on a port of its own.
.PHONY: peers
peers:
	@[[ -x /usr/bin/prometheus-node-exporter ]] || ! command -v apt-get >/dev/null || [[ $$(id -u) != 0 ]] || \
	{ apt-get update -q && apt-get install -qy --no-install-recommends prometheus-node-exporter; } || true

# The backends that encoders are tested against, likewise. The tests start their
# own, but the packages may start them as services.
.PHONY: backends
backends:
	@[[ -x /usr/bin/victoria-metrics && -x /usr/sbin/clickhouse-server ]] || ! command -v apt-get >/dev/null || [[ $$(id -u) != 0 ]] || \
	{ apt-get update -q && apt-get install -qy --no-install-recommends victoria-metrics clickhouse-server; } || true

$(TOOLS)/gotestsum-$(GOTESTSUM):
	GOBIN=$(TOOLS) go install gotest.tools/gotestsum@$(GOTESTSUM)
	mv $(TOOLS)/gotestsum $@

$(TOOLS)/golangci-lint-$(GOLANGCI_LINT):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	mv $(TOOLS)/golangci-lint $@

.PHONY: clean
clean: ## remove what was built, and the data of make run
	rm -rf bin .bin .run
