# The verbs people type. `make help` lists them.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory

TARGET  := target/x86_64-unknown-linux-gnu
HARNESS := $(TARGET)/release/harness
# Debian's package of cargo is too old; `ci/setup` says so. Everything else it installs.
CARGO   ?= cargo

REFERENCE  := target/reference
SUBMISSION ?= $(REFERENCE)
ONLY       ?=
REPORT     ?=
JOBS       ?=
FLAGS      ?=

# Recipes take them from the environment, so that no character of a path means anything to make or to the shell.
ifneq ($(origin SUBMISSION),file)
override SUBMISSION := $(value SUBMISSION)
endif
override ONLY := $(value ONLY)
override REPORT := $(value REPORT)
export SUBMISSION ONLY REPORT JOBS CARGO
# Wherever cargo would build, the verbs look here.
export CARGO_TARGET_DIR := $(CURDIR)/target

# A variable or a verb that is misspelt would otherwise grade the reference, with full marks.
VARIABLES := SUBMISSION ONLY REPORT JOBS FLAGS CARGO SETUP_YES HARNESS_CACHE
GIVEN     := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
UNKNOWN   := $(filter-out $(VARIABLES) MAKEFLAGS MAKEOVERRIDES -%,$(GIVEN))
ifneq ($(UNKNOWN),)
$(error there is no variable $(UNKNOWN): choose from $(VARIABLES))
endif
VERBS     := help grade check test test-all bench lint vm doctor build reference clean
NO_VERB   := $(filter-out $(VERBS) setup-grade setup-test setup-bench,$(MAKECMDGOALS))
ifneq ($(NO_VERB),)
$(error there is no verb $(NO_VERB): `make help` lists them, and a submission is SUBMISSION=path)
endif

.PHONY: $(VERBS) announce

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

announce:
ifeq ($(origin SUBMISSION),file)
	@echo "SUBMISSION is not set: make takes the Rust reference, $(REFERENCE)." \
	    "A full grade takes 1 minute with KVM and 10 without; ONLY=1 takes seconds." >&2
endif

grade: announce setup-grade build ## grade SUBMISSION=path [ONLY=1,2c,3] [REPORT=dir]; without SUBMISSION the Rust reference
	@$(HARNESS) grade $${ONLY:+"--only=$$ONLY"} $${REPORT:+"--report=$$REPORT"} $${JOBS:+"--jobs=$$JOBS"} $(FLAGS) -- "$$SUBMISSION"

check: announce build ## layout and marked portions of SUBMISSION=path, without a VM
	@$(HARNESS) check $${REPORT:+"--report=$$REPORT"} $(FLAGS) -- "$$SUBMISSION"

test: setup-test build lint ## the test suite that a developer and CI run
	@$(CARGO) test --workspace --quiet

test-all: setup-test build lint ## everything: also the slow and statistical tests, the whole corpus, and a fresh machine (ci/fresh)
	@$(CARGO) test --workspace -- --include-ignored
	@if [ "$$(id -u)" -eq 0 ]; then ci/fresh; else echo 'skipped: ci/fresh, which needs root' >&2; fi

bench: setup-bench build ## conductor against its peers, restore against boot: ratios of medians from one run
	@ci/bench

lint: ## formatting, clippy, documentation, shell scripts: no warnings
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@shellcheck -x grade ci/setup ci/build ci/fresh ci/guard ci/reference ci/test-workflows $(wildcard ci/bench ci/github/[ceg]*) .ci/run

vm: setup-grade build ## build the VM image and its template, so that the first grade is quick
	@$(HARNESS) vm build

doctor: build ## can this machine grade, how fast, and what to fix
	@$(HARNESS) doctor

build: reference ## the programs, optimised

reference:
	@ci/build

setup-%:
	@ci/setup $*

clean: ## remove what was built here; images and templates go with `harness vm rm`
	$(CARGO) clean
