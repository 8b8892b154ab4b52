# The commands for users and developers. `make help` lists them.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory

TARGET  := target/x86_64-unknown-linux-gnu
HARNESS := $(TARGET)/release/harness
# Debian's cargo package is too old, so `ci/setup` requires another one. It
# installs everything else.
CARGO   ?= cargo

REFERENCE  := target/reference
EXAMPLES   := fixtures/evidence
SUBMISSION ?= $(REFERENCE)
ONLY       ?=
REPORT     ?=
JOBS       ?=
FLAGS      ?=
PART       ?=
TAKE       ?=

# Recipes read these variables from the environment, so make and the shell never interpret the
# characters of a path.
ifneq ($(origin SUBMISSION),file)
override SUBMISSION := $(value SUBMISSION)
endif
override ONLY := $(value ONLY)
override REPORT := $(value REPORT)
export SUBMISSION ONLY REPORT JOBS TAKE CARGO
# The recipes expect the programs here, even if the environment names another target folder.
export CARGO_TARGET_DIR := $(CURDIR)/target

# Refuse a misspelt variable or target: make would otherwise grade the reference, with full marks.
VARIABLES := SUBMISSION ONLY REPORT JOBS FLAGS PART TAKE CARGO SETUP_YES HARNESS_CACHE
GIVEN     := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
UNKNOWN   := $(filter-out $(VARIABLES) MAKEFLAGS MAKEOVERRIDES -%,$(GIVEN))
ifneq ($(UNKNOWN),)
$(error there is no variable $(UNKNOWN); choose from $(VARIABLES))
endif
VERBS     := help grade check test test-all bench lint vm doctor example-report build reference dist clean
NO_VERB   := $(filter-out $(VERBS) setup-grade setup-test setup-bench setup-test-all,$(MAKECMDGOALS))
ifneq ($(NO_VERB),)
$(error there is no target $(NO_VERB); `make help` lists the targets. To grade a submission, use SUBMISSION=path)
endif

.PHONY: $(VERBS) announce

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

announce:
ifeq ($(origin SUBMISSION),file)
	@echo "SUBMISSION is not set, so make uses the Rust reference, $(REFERENCE)." \
	    "A full grade takes 1 minute with KVM and 10 minutes without. ONLY=1 takes seconds." >&2
endif

grade: announce setup-grade build ## grade SUBMISSION=path [ONLY=1,2c,3] [REPORT=dir]; without SUBMISSION, the Rust reference
	@$(HARNESS) grade $${ONLY:+"--only=$$ONLY"} $${REPORT:+"--report=$$REPORT"} $${JOBS:+"--jobs=$$JOBS"} $(FLAGS) -- "$$SUBMISSION"

check: announce build ## check the layout and marked portions of SUBMISSION=path, without a virtual machine
	@$(HARNESS) check $${REPORT:+"--report=$$REPORT"} $(FLAGS) -- "$$SUBMISSION"

test: setup-test build lint ## run the test suite, as developers and CI do
	@$(CARGO) test --workspace --quiet

test-all: setup-test setup-test-all build lint ## run all long tests, or PART=slow|corpus|hostile|fresh|packages; PART=corpus TAKE=1/4 runs a quarter of the corpus
	@ci/test-all $(PART)

bench: setup-bench build ## measure conductor against similar tools, and restoring a machine against booting it
	@ci/bench

lint: ## check formatting, clippy, documentation and shell scripts; warnings are errors
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@shellcheck -x grade ci/setup ci/build ci/root ci/fresh ci/guard ci/dist ci/reference ci/test-all ci/test-packages ci/test-workflows \
	    $(wildcard ci/bench ci/slurm/* ci/parallel/*) ci/github/cache-keys ci/github/enable-kvm ci/github/grade \
	    ci/github/ready-image ci/github/release-notes ci/student/make .ci/run

vm: setup-grade build ## build the virtual machine's image and template, so that the first grade is quick
	@$(HARNESS) vm build

doctor: build ## report whether this machine can grade, how fast, and what to fix
	@$(HARNESS) doctor

example-report: build ## build example pages in target/example-report from stored evidence
	@for evidence in $(EXAMPLES)/*/; do \
	    page=target/example-report/$$(basename "$$evidence")/index.html; \
	    rm -f "$$page"; \
	    $(HARNESS) judge --report "$$(dirname "$$page")" --force "$$evidence" >/dev/null; \
	    [ -s "$$page" ] && echo "$$page" || exit 3; \
	done

build: reference ## build the programs, optimised

reference:
	@ci/build

setup-%:
	@ci/setup $*

dist: ## build the release packages in target/dist: tarballs, .deb files and digests
	@ci/dist

clean: ## remove all build output; `harness vm rm` removes images and templates
	$(CARGO) clean
