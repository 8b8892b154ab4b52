# The verbs people type. `make help` lists them.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory

TARGET  := target/x86_64-unknown-linux-gnu
HARNESS := $(TARGET)/release/harness
# Debian's package of cargo is too old; `ci/setup` says so. Everything else it installs.
CARGO   ?= cargo

SUBMISSION ?= target/reference
ONLY       ?=
REPORT     ?=
JOBS       ?=
FLAGS      ?=

.PHONY: help grade check test test-all bench lint vm doctor build reference clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

grade: setup-grade build ## grade SUBMISSION=path [ONLY=1,2c,3] [REPORT=dir]; without SUBMISSION the Rust reference
	@$(HARNESS) grade $(SUBMISSION) $(if $(ONLY),--only $(ONLY)) $(if $(REPORT),--report $(REPORT)) $(if $(JOBS),--jobs $(JOBS)) $(FLAGS)

check: build ## layout and marked portions of SUBMISSION=path, without a VM
	@$(HARNESS) check $(SUBMISSION) $(FLAGS)

test: setup-test build lint ## the test suite that a developer and CI run
	@$(CARGO) test --workspace --quiet

test-all: setup-test build lint ## everything: also the slow and statistical tests and the whole corpus
	@$(CARGO) test --workspace -- --include-ignored

bench: setup-bench build ## conductor against its peers, restore against boot: ratios of medians from one run
	@ci/bench

lint: ## formatting, clippy, documentation, shell scripts: no warnings
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@shellcheck ci/setup ci/reference ci/test-workflows $(wildcard ci/bench ci/github/[ceg]*) .ci/run

vm: setup-grade build ## build the VM image and its template, so that the first grade is quick
	@$(HARNESS) vm build

doctor: build ## can this machine grade, how fast, and what to fix
	@$(HARNESS) doctor

build: reference ## the programs, optimised

reference:
	@$(CARGO) build --release -p harness -p vm -p conductor
	@ci/reference $(TARGET)/release target/reference

setup-%:
	@ci/setup $*

clean: ## remove what was built here; images and templates go with `harness vm rm`
	$(CARGO) clean
