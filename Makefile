# `make test` installs what the tests need and runs them all. CI=1 makes a
# missing piece an error instead of a skip.

GO ?= go
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT = $(GO) run mvdan.cc/gofumpt@v0.12.0
# A number of tries: when a time is up, go test at times fails with "context
# deadline exceeded" and nothing found.
FUZZTIME ?= 10000x
NODE = integration_test/node
DEBIAN = python3-django-oauth-toolkit python3-hypercorn chromium redis-server

.PHONY: test deps debian lint unit fuzz cross run bench

test: deps lint unit fuzz cross
	@echo "everything passed"

run:
	$(GO) run ./cmd/caddy run --config Caddyfile.example

deps: $(NODE)/node_modules/.package-lock.json debian

# Debian's packages, where they may be installed. Elsewhere the tests that need
# them skip, or fail in CI.
debian:
	@if /usr/bin/python3 -c 'import oauth2_provider, hypercorn' 2>/dev/null && command -v chromium >/dev/null && command -v redis-server >/dev/null; then :; \
		elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(DEBIAN) >/dev/null; \
		else \
			echo "not installed: $(DEBIAN) (Debian); tests that need one will skip"; \
		fi

$(NODE)/node_modules/.package-lock.json: $(NODE)/package-lock.json
	@command -v npm >/dev/null || { echo "the integration tests need Node.js 20 or newer, with npm"; exit 1; }
	cd $(NODE) && npm ci

lint:
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) vet -tags bench ./bench
	@unformatted=$$($(GOFUMPT) -l $$(git ls-files '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not formatted by gofumpt:"; echo "$$unformatted"; exit 1; fi
	$(STATICCHECK) ./...

unit:
	$(GO) test -race -timeout 20m ./...

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
