# What there is to build, run and test. `make run` and `make test` set up what they need.

GO              ?= go
BIN             := bin/holdfast
RACE_BIN        := bin/holdfast-race
TESTSERVER      := bin/testserver-race
RECOVERY_SERVER := bin/recovery-server-race
TOOLS           := $(CURDIR)/.tools
BENCH_ARGS      ?=
FUZZ_TIME       ?= 10s
CONFIG          ?= config.yaml

# The race detector is linked by cgo, whatever the environment has to say of it.
RACE_GO         := CGO_ENABLED=1 $(GO)

# A tool is built from the versions that tools/go.mod locks, and built again when one changes.
tool_version     = $(shell awk '$$1 == "$(1)" && $$2 != "" { print $$2 }' tools/go.mod)
GOLANGCI_LINT   := $(TOOLS)/golangci-lint-$(call tool_version,github.com/golangci/golangci-lint/v2)
GOFUMPT         := $(TOOLS)/gofumpt-$(call tool_version,mvdan.cc/gofumpt)
GOVULNCHECK     := $(TOOLS)/govulncheck-$(call tool_version,golang.org/x/vuln)

# Our own Go files, whether committed yet or not.
GO_FILES         = $(shell find . \( -name node_modules -o -name '.?*' -o -name target \) -prune -o -name '*.go' -print)

.DEFAULT_GOAL := build
.PHONY: build run test race-build vet lint golangci-lint lint-tool fmt bench fuzz vuln clean FORCE
.PHONY: test-deps go-test js-test recovery-test queue-test browser-test

## build: the server, at bin/holdfast
build: $(BIN)

# The go command knows better than make what is up to date.
$(BIN): FORCE
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ .

$(RACE_BIN): FORCE
	$(RACE_GO) build -race -o $@ .

# The application that the stock clients are tested against, on the public packages alone.
$(TESTSERVER): FORCE
	$(RACE_GO) build -race -o $@ ./test/testserver

$(RECOVERY_SERVER): FORCE
	$(RACE_GO) build -race -o $@ ./test/recovery/server

FORCE:

## run: fetch the browser client if it is missing, build, start; the log says where the page is
run: build
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/.package-lock.json; \
	 else echo 'npm is not installed: the server runs, and its page says how to get the browser client'; fi
	@exec $(BIN) serve --config $(CONFIG)

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-progress
	@touch $@

## test: everything, stage by stage: format, go vet and lint, Go tests with -race, then the stock clients and a
##       browser against servers built with -race; FULL=1 for the sizes of the bars
test:
	@scripts/test

test-deps:
	@GO='$(GO)' scripts/test-deps
	@$(MAKE) --no-print-directory node_modules/.package-lock.json

## race-build: the servers that the tests drive
race-build: $(RACE_BIN) $(TESTSERVER) $(RECOVERY_SERVER)

# HOLDFAST_BIN=PATH has another build tested: one without the race detector, for FULL=1 on a small machine.
WITH_SERVERS    := HOLDFAST_BIN=$(abspath $(or $(HOLDFAST_BIN),$(RACE_BIN))) HOLDFAST_TESTSERVER=$(CURDIR)/$(TESTSERVER)

go-test: $(RACE_BIN) $(TESTSERVER) node_modules/.package-lock.json
	$(WITH_SERVERS) $(RACE_GO) test -race -vet=off -timeout 10m ./...

js-test: $(RACE_BIN) $(TESTSERVER) node_modules/.package-lock.json
	$(WITH_SERVERS) scripts/node-test test/js

# FULL=1 for the sizes of the bars.
recovery-test: $(RACE_BIN) $(RECOVERY_SERVER) node_modules/.package-lock.json
	$(WITH_SERVERS) scripts/node-test test/recovery

queue-test: $(RACE_BIN) node_modules/.package-lock.json
	$(WITH_SERVERS) scripts/node-test test/queue

browser-test: $(RACE_BIN) node_modules/.package-lock.json
	CHROMIUM="$${CHROMIUM:-$$(command -v chromium || command -v chromium-browser || command -v google-chrome)}" \
	 $(WITH_SERVERS) scripts/node-test test/browser

## vet: go vet and gofumpt; changes nothing
# With -race go vet reads what the tests are linked from, and nothing is compiled twice.
vet: $(GOFUMPT)
	$(RACE_GO) vet -race ./...
	@unformatted=$$($(GOFUMPT) -l $(GO_FILES)); \
	 if [ -n "$$unformatted" ]; then printf 'not formatted, run make fmt:\n%s\n' "$$unformatted"; exit 1; fi

## lint: vet and golangci-lint; changes nothing
lint: vet golangci-lint

golangci-lint: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) run

# To build the linter takes minutes the first time; test has it built while the tests wait for their clients.
lint-tool: $(GOLANGCI_LINT)

## fmt: format the Go code
fmt: $(GOFUMPT)
	$(GOFUMPT) -w $(GO_FILES)

## bench: the load generator; BENCH_ARGS='-h' lists what it takes
bench: node_modules/.package-lock.json
	$(GO) run ./bench $(BENCH_ARGS)

## fuzz: each fuzz target for FUZZ_TIME
fuzz:
	scripts/fuzz $(FUZZ_TIME)

## vuln: known vulnerabilities in what the server is built from
vuln: $(GOVULNCHECK)
	$(GOVULNCHECK) ./...

$(GOLANGCI_LINT): tools/go.mod
	$(GO) build -C tools -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

$(GOFUMPT): tools/go.mod
	$(GO) build -C tools -o $@ mvdan.cc/gofumpt
	@touch $@

$(GOVULNCHECK): tools/go.mod
	$(GO) build -C tools -o $@ golang.org/x/vuln/cmd/govulncheck
	@touch $@

## clean: remove what was built and fetched
clean:
	rm -rf bin .tools node_modules
