# Everything a developer of Penstock calls. Go and make are enough for `make run`; `make test` brings the
# Debian packages its tests use, or says what it leaves out.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# The toolchain that go.mod names, whichever Go is installed: Go 1.21 and later bring it. What is installed
# instead: make build GOTOOLCHAIN=local
GOTOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)
GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT      ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS     := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
FUZZTIME    ?= 10s
SEEDS       ?= 1000
SEED        ?= 1
FOR         ?= 0s
SIMULATIONS ?= .
FUZZTOTAL   ?=
BENCH       ?= .
BENCH_COUNT ?= 6
BENCH_TIME  ?= 100ms
BENCH_CPU   ?= 2
CONFIG      ?= configs/minimal.toml
VERSUS      ?=
CAPACITY    ?=
TEST        ?= $(GO) test
TESTFLAGS   ?=
SOAK        ?= Reload|Handover|RestartScript|SecondSignal|NobodyReads|Memory|Slow|TLS|Drain|DNSOutage|RateIs|EachKey|Flood|CacheTokens|IdleConnections|OneOfFour|TotalOutage|Hedging|Overload$$|Fleet
SOAK_RACE   ?= Aborted
export GOTOOLCHAIN GO BENCH BENCH_COUNT BENCH_TIME BENCH_CPU

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: run build
run: build ## build, then serve the built-in demo; its first lines say which curl to try
	bin/penstock run

# No cgo: one static binary. The version comes by flag, so that a work tree which git refuses to
# look into (another owner) still builds.
build: ## build bin/penstock
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/penstock ./cmd/penstock

.PHONY: test race alloc fuzz-short bench bench-baseline bench-compare soak twin examples deps
.PHONY: simulate simulate-mutants e2e-bench peers versus capacity pgo
test: ## all tests; brings the Debian packages they need where it may
	@.ci/deps --soft
	$(TEST) -pgo=off -shuffle=on -timeout=60m $(TESTFLAGS) ./...

# Not those packages that have nothing to race with; in edge/e2e not the files with the constraint !race, whose tests
# ask one request after the other.
race: ## tests under the race detector of what runs at once (needs a C compiler)
	CGO_ENABLED=1 $(TEST) -race -pgo=off -shuffle=on -timeout=120m $(TESTFLAGS) $$(.ci/concurrent)

# Without -race: the detector allocates.
alloc: ## the tests that count allocations
	$(GO) test -count=1 -run Alloc $(TESTFLAGS) $$(grep -rlE --include='*_test.go' 'func Test\w*Alloc' . | xargs dirname | sort -u)

fuzz-short: ## every fuzz target for FUZZTIME each; with FUZZTOTAL=60 some of them, in 60 seconds
	@GO='$(GO)' FUZZTIME='$(FUZZTIME)' FUZZTOTAL='$(FUZZTOTAL)' .ci/fuzz

# Not those of bench/, which measure whole programs. Some minutes; a part of them: make bench BENCH=Lookup.
bench: ## micro benchmarks into bench/results/micro.txt, in the form benchstat reads
	@.ci/bench run bench/results/micro.txt

bench-baseline: ## the same into bench/baseline/micro.txt, which is committed
	@.ci/bench run bench/baseline/micro.txt

bench-compare: ## micro benchmarks anew, and what changed since the baseline
	@.ci/bench compare bench/baseline/micro.txt bench/results/micro.txt

e2e-bench: ## the hop end to end: CPU, system calls, allocations, latency and memory of each kind of work
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./bench

peers: ## install the proxies to compare with (root, or sudo that asks no password)
	@.ci/deps --peers

# Some 70 minutes for all. A look: make versus VERSUS='-quick'. The flags: go run ./bench/tool versus -help
versus: build ## CPU a request beside nginx, HAProxy, Caddy, Varnish and a relay, in turns
	$(GO) run ./bench/tool versus $(VERSUS)

capacity: build ## what a host carries with the configuration CONFIG: costs, knee, connections, a page with plots
	$(GO) run ./bench/tool capacity -config '$(CONFIG)' $(CAPACITY)

# The profile is part of the source: the compiler takes cmd/penstock/default.pgo by itself.
pgo: ## renew the profile that the compiler optimises by, from the works of the benchmarks
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -o bin/penstock ./cmd/penstock
	$(GO) run ./bench/tool profile -out cmd/penstock/default.pgo

# Minutes, not seconds: a minute of reloads and restarts under load, 8 GiB each way, attacks at full length.
# At last, under the race detector, 600,000 requests that are broken off, each client with a token of its own:
# that alone takes the better part of an hour. The units run in a container that systemd-nspawn boots.
soak: ## the long runs of the black-box tests, with their figures
	PENSTOCK_BOOT=1 $(GO) test -count=1 -timeout 40m -v ./edge/e2e/boot
	PENSTOCK_LOAD_SECONDS=60 PENSTOCK_BIG_BYTES=8589934592 PENSTOCK_TESTSSL=all \
		$(GO) test -count=1 -timeout 40m -v -run '$(SOAK)' ./edge/e2e/...
	PENSTOCK_LOAD_SECONDS=60 CGO_ENABLED=1 \
		$(GO) test -race -count=1 -timeout 120m -v -run '$(SOAK_RACE)' ./edge/e2e/...

# The real gateway on a network, a clock and a chance that repeat from a seed; see docs/testing.md. FOR=2m SEED=0: fresh
# seeds for two minutes. SCRIPT=FILE plays what was kept of one that broke something.
simulate: ## worlds that repeat from a seed: SEEDS of them, from SEED on
	CGO_ENABLED=0 $(GO) test -tags sim -pgo=off -count=1 -timeout 0 -v -run '$(SIMULATIONS)' ./edge/e2e/sim \
		-args -seeds=$(SEEDS) -seed=$(SEED) -for=$(FOR) -script='$(SCRIPT)'

simulate-mutants: ## put known faults back, one at a time: the simulation finds each within ten minutes
	CGO_ENABLED=0 $(GO) test -tags sim -pgo=off -count=1 -timeout 0 -v -run Mutants ./edge/e2e/sim -args -mutants $(MUTANTS)

# Some ten minutes: each answer of the cache is compared with what slow models of it say.
twin: ## the cache against its models, one client and several at once, at length
	$(GO) test ./cache/lookup -count=1 -timeout 60m -v -run 'Twin|Crowd' -rapid.checks=60000

# Those that name certificates need them; make test checks these with some.
examples: build ## check every configuration in configs/
	@for file in $$(grep -L '^cert = ' configs/*.toml); do echo "penstock check $$file"; bin/penstock check "$$file"; done

deps: ## install the Debian packages the tests use (root, or sudo that asks no password)
	@.ci/deps

metrics: ## write docs/metrics.md, the page of all metrics, anew
	$(GO) run ./cmd/tidy -metrics > docs/metrics.tmp && mv docs/metrics.tmp docs/metrics.md

keys: ## write the reference of keys anew: configs/keys.txt and the comments of configs/full.toml
	$(GO) test -count=1 -run TestReference ./cmd/penstock -update

.PHONY: check toolchain fmt vet lint tidy modules metrics keys outdated
check: toolchain fmt vet lint tidy modules outdated ## all that is not a test: toolchain, format, vet, linters, house rules, go.mod

toolchain: ## the Go in use is the one of go.mod, or newer
	@want=$$(sed -n 's/^toolchain //p' go.mod); have=$$($(GO) env GOVERSION); \
	[ "$$(printf '%s\n' "$$want" "$$have" | sort -V | tail -n 1)" = "$$have" ] || \
		{ echo "this is $$have, and go.mod wants $$want: leave GOTOOLCHAIN to make"; exit 1; }

fmt: ## gofmt -s has nothing to say
	@out=$$("$$($(GO) env GOROOT)/bin/gofmt" -s -l .); [ -z "$$out" ] || { echo "gofmt -s would change:"; echo "$$out"; exit 1; }

vet: ## go vet
	$(GO) vet -pgo=off ./...
	$(GO) vet -pgo=off -tags sim ./edge/...

lint: ## golangci-lint at its pinned version, or staticcheck at its own where that cannot be had
	@GO='$(GO)' .ci/lint

tidy: ## imports, sizes, comments and words, as cmd/tidy wants them
	$(GO) run ./cmd/tidy

modules: ## go.sum is true, go.mod has what is used and nothing else
	$(GO) mod verify
	$(GO) mod tidy -diff

outdated: ## say which modules have newer versions, where that can be found out
	@timeout 60 $(GO) list -m -u -f '{{with .Update}}outdated: {{$$.Path}} {{$$.Version}}, newest {{.Version}}{{end}}' \
		$$(awk '$$1 ~ "/" && $$2 ~ /^v/ {print $$1}' go.mod) 2>/dev/null | grep . || echo "outdated: nothing that is known of"

.PHONY: clean
clean: ## remove bin/ (the linters too)
	rm -rf bin
