# `make test` installs what the tests need and runs them all. CI=1 makes a
# missing piece an error instead of a skip.

GO ?= go
GOLANGCI = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ACTIONLINT = $(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
GORELEASER = $(GO) run github.com/goreleaser/goreleaser/v2@v2.15.1
# A number of tries: when a time is up, go test at times fails with "context
# deadline exceeded" and nothing found.
FUZZTIME ?= 10000x
NODE = integration_test/node
CLIENTS = integration_test/clients
DEBIAN = python3-django-oauth-toolkit python3-hypercorn python3-jwt python3-cryptography chromium redis-server

.PHONY: test test-clients check deps debian lint unit fuzz cross cover run bench release-check

# Everything. The unit tests come last, so that the output ends with their summary.
test: deps lint fuzz cross unit

# The table of docs/clients.md, seen again: agents and other clients, whose models
# are played on loopback. It takes half an hour, and 1.8 GB of npm packages, so it
# isn't part of `make test`. CLIENT=codex runs one row, UPDATE=1 writes the table.
test-clients: deps $(CLIENTS)/node_modules/.package-lock.json
	$(GO) test -tags clients -count=1 -timeout 2h -v -run 'TestClientTable/$(subst $() ,_,$(CLIENT))' ./integration_test $(if $(UPDATE),-update)

# The quick one, for every save: no race detector, no clients, no fuzzing.
check:
	$(GO) build ./...
	$(GO) vet ./...
	$(GOLANGCI) run ./...
	$(GO) test -short $$($(GO) list ./... | grep -v -e /integration_test -e /bench)

run:
	$(GO) run ./cmd/caddy run --config Caddyfile.example

deps: $(NODE)/node_modules/.package-lock.json debian

# Debian's packages, where they may be installed. Elsewhere the tests that need
# them skip, or fail in CI.
debian:
	@if /usr/bin/python3 -c 'import oauth2_provider, hypercorn, jwt, cryptography' 2>/dev/null && command -v chromium >/dev/null && command -v redis-server >/dev/null; then :; \
		elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(DEBIAN) >/dev/null; \
		else \
			echo "not installed: $(DEBIAN) (Debian); tests that need one will skip"; \
		fi

$(NODE)/node_modules/.package-lock.json: $(NODE)/package-lock.json
	@command -v npm >/dev/null || { echo "the integration tests need Node.js 20 or newer, with npm"; exit 1; }
	cd $(NODE) && npm ci

$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package-lock.json
	cd $(CLIENTS) && npm ci

lint:
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) vet -tags bench ./bench
	$(GO) vet -tags clients ./integration_test
	$(GOLANGCI) run ./...
	$(ACTIONLINT)

# The simulations have all of their seeds without the race detector only. The
# integration tests run alone, because browsers have little patience, and four at once,
# because most of them wait more than they work.
unit:
	$(GO) test -timeout 20m -run 'UnderAttack|TestStrangerCantShutTheDoor' ./internal/throttle ./authserver/clientdoc ./protocol/judge
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v /integration_test)
	$(GO) test -race -timeout 25m -parallel 4 ./integration_test

# Every fuzz target a little: their seeds run with the unit tests.
fuzz:
	@for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v node_modules | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | sed 's/func //'); do \
			echo "fuzzing $$dir $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir || exit 1; \
		done; \
	done

cross:
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/caddy
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/caddy

# What the front door costs, as ratios of one run: see bench/README.md.
bench:
	$(GO) test -tags bench -count=1 -timeout 20m -v -run TestBench ./bench

# Coverage by the unit tests, and by the Caddys that the integration tests run.
cover:
	rm -rf cover && mkdir -p cover/unit cover/run
	$(GO) test -cover $$($(GO) list ./... | grep -v -e /integration_test -e /bench) -args -test.gocoverdir=$(CURDIR)/cover/unit
	GOCOVERDIR=$(CURDIR)/cover/run $(GO) test -count=1 ./integration_test
	$(GO) tool covdata percent -i=cover/unit,cover/run

# What can be checked of a release without making one. Building goreleaser takes
# minutes.
release-check:
	$(GORELEASER) check
