# What there is to build, run and test. `make run` and `make test` set up what they need.

GO            ?= go
BIN           := bin/holdfast
RACE_BIN      := bin/holdfast-race
TESTSERVER    := bin/testserver-race
TOOLS         := $(CURDIR)/.tools
BENCH_ARGS    ?=
FUZZ_TIME     ?= 10s
CONFIG        ?= config.yaml

# A tool is built from the versions that tools/go.mod locks, and built again when one changes.
tool_version   = $(shell awk '$$1 == "$(1)" && $$2 != "" { print $$2 }' tools/go.mod)
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(call tool_version,github.com/golangci/golangci-lint/v2)
GOFUMPT       := $(TOOLS)/gofumpt-$(call tool_version,mvdan.cc/gofumpt)
GOVULNCHECK   := $(TOOLS)/govulncheck-$(call tool_version,golang.org/x/vuln)

# Our own Go files, whether committed yet or not.
GO_FILES       = $(wildcard $(shell git ls-files --cached --others --exclude-standard -- '*.go'))

.DEFAULT_GOAL := build
.PHONY: build run test lint fmt bench fuzz vuln go-test js-test recovery-test queue-test browser-test test-deps clean FORCE

## build: the server, at bin/holdfast
build: $(BIN)

# The go command knows better than make what is up to date.
$(BIN): FORCE
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ .

$(RACE_BIN): FORCE
	$(GO) build -race -o $@ .

# The application that the stock clients are tested against, on the public packages alone.
$(TESTSERVER): FORCE
	$(GO) build -race -o $@ ./test/testserver

FORCE:

## run: fetch the browser client if it is missing, build, start; the log says where the page is
run: build
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/.package-lock.json; \
	 else echo 'npm is not installed: the server runs, and its page says how to get the browser client'; fi
	@exec $(BIN) serve --config $(CONFIG)

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-progress
	@touch $@

## test: everything: format, lint, Go tests with -race, then the stock clients and a browser
##       against a server built with -race
test: test-deps
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory go-test
	$(MAKE) --no-print-directory js-test
	$(MAKE) --no-print-directory recovery-test
	$(MAKE) --no-print-directory queue-test
	$(MAKE) --no-print-directory browser-test

test-deps: node_modules/.package-lock.json
	@scripts/test-deps

WITH_SERVERS := HOLDFAST_BIN=$(CURDIR)/$(RACE_BIN) HOLDFAST_TESTSERVER=$(CURDIR)/$(TESTSERVER)

go-test: $(RACE_BIN) $(TESTSERVER) node_modules/.package-lock.json
	$(WITH_SERVERS) $(GO) test -race -timeout 15m ./...

js-test: $(RACE_BIN) $(TESTSERVER) node_modules/.package-lock.json
	$(WITH_SERVERS) scripts/node-test test/js

# FULL=1 for the sizes of the bars.
recovery-test: $(RACE_BIN) node_modules/.package-lock.json
	$(WITH_SERVERS) scripts/node-test test/recovery

queue-test: $(RACE_BIN) node_modules/.package-lock.json
	$(WITH_SERVERS) scripts/node-test test/queue

browser-test: $(RACE_BIN) node_modules/.package-lock.json
	$(WITH_SERVERS) scripts/node-test test/browser

## lint: go vet, gofumpt and golangci-lint; changes nothing
lint: $(GOLANGCI_LINT) $(GOFUMPT)
	$(GO) vet ./...
	@unformatted=$$($(GOFUMPT) -l $(GO_FILES)); \
	 if [ -n "$$unformatted" ]; then printf 'not formatted, run make fmt:\n%s\n' "$$unformatted"; exit 1; fi
	$(GOLANGCI_LINT) run

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
