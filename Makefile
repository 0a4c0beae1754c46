# Everything a person or CI runs. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
CACHE := $(or $(FNAA_CACHE),$(HOME)/.cache/fnaa)
DENY := $(CACHE)/tools/bin/cargo-deny
# Tests at once: a Kafka node of a test's own takes 300 MB.
AT_ONCE := $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))
# Warnings are errors where somebody else has to live with them.
STRICT := $(if $(CI),-D warnings,)

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

.PHONY: setup
setup: ## Install the pinned toolchain and the wasm target, or say what is missing
	@.ci/setup toolchain

.PHONY: build
build: setup ## Host, client and plugin components, in release
	cargo build --release --locked -p fnaad -p fnua
	@! grep -q FNAAD_FAILPOINTS "$(TARGET_DIR)/release/fnaad" || { echo "the release build can be told to end itself" >&2; exit 1; }

# BROKER=kafka starts an Apache Kafka for each participant and a BIND 9 for both; BROKER=kafka=HOST:PORT takes one Kafka that is there.
ON_KAFKA := .ci/kafka-node .ci/kafka-node .ci/bind-node bash -c 'exec "$$0" "$$@" \
	--broker kafka=$$KAFKA_FIRST --broker kafka=$$KAFKA --dns-server $$BIND --dns-key $$BIND_KEY'
.PHONY: demo
demo: build $(if $(filter kafka,$(BROKER)),kafka bind) ## Two participants and real data; KEEP=1 leaves them running, BROKER=kafka takes two Kafkas and BIND 9
	@$(if $(filter kafka,$(BROKER)),KEEP="$(KEEP)" $(ON_KAFKA)) \
		"$(TARGET_DIR)/release/fnaad" demo $(if $(KEEP),--keep,) $(if $(filter-out kafka,$(BROKER)),--broker "$(BROKER)",)

.PHONY: test
test: setup guests kafka keycloak bind lint unit stories kafka-stories keycloak-stories deny ## Everything that CI runs

.PHONY: lint
lint: ## Formatting and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- $(STRICT)

# Both build with the features of the whole workspace: asking for single packages would build the
# engine a second time.
.PHONY: unit
unit: kafka bind ## Unit and doc tests, and those against a real Kafka and BIND
	cargo test --workspace --exclude stories --locked -- --test-threads $(AT_ONCE)

.PHONY: stories
stories: bind guests ## The programs as users meet them; four at a time, they mostly wait for the disk
	cargo test --workspace --locked --test command_line --test integration --test stories -- --test-threads 4

# The whole workspace, so that the engine is built with the same features as everywhere.
.PHONY: bench
bench: ## One table of ratios: what the host costs; PARTS="boundary idle" measures some
	cargo build --release --workspace --locked
	@"$(TARGET_DIR)/release/fnaa-bench" $(PARTS)

.PHONY: soak
soak: ## A hundred kills at random under load; SOAK_SEED=n repeats one
	SOAK_KILLS=$(or $(SOAK_KILLS),100) cargo test --workspace --locked --test command_line --test integration --test stories -- --nocapture soak::

.PHONY: swaps
swaps: ## A thousand versions of a plugin that follow each other under load, on the embedded broker; SWAPS=n more or fewer
	SWAPS=$(or $(SWAPS),1000) cargo test --workspace --locked --test command_line --test integration --test stories -- --nocapture versions_follow

.PHONY: kafka
kafka: ## Apache Kafka's jars, and what it runs on: where it is missing, installed or named
	@.ci/setup kafka

.PHONY: streams
streams: ## Kafka Streams' jars, which `make bench PARTS=streams` counts beside
	@.ci/setup streams

.PHONY: guests
guests: ## What plugins in other languages than Rust are built with: where it is missing, installed or named
	@.ci/setup guests

.PHONY: bind
bind: ## BIND 9, a name server: where it is missing, installed or named
	@.ci/setup bind

.PHONY: test-kafka
test-kafka: setup kafka kafka-stories ## What is tested against a real Apache Kafka
	cargo test --workspace --locked --test node --test kafka -- --test-threads $(AT_ONCE)

# --test command_line and --test integration build the programs.
KAFKA_STORIES := cargo test --workspace --locked --test command_line --test integration --test kafka_stories -- --test-threads $(AT_ONCE)

.PHONY: kafka-stories
kafka-stories: kafka ## Hosts on a real Kafka, and everything that may happen to both, a few times
	$(KAFKA_STORIES)

.PHONY: keycloak
keycloak: ## Keycloak, an identity provider, and what it runs on
	@.ci/setup keycloak

.PHONY: keycloak-stories
keycloak-stories: keycloak ## Tokens of a real Keycloak
	cargo test --workspace --locked --test command_line --test integration --test keycloak_stories -- --test-threads $(AT_ONCE)

.PHONY: chaos
chaos: kafka ## The same, often: half an hour; CHAOS_SEED=n repeats the choices of a run
	CHAOS=long $(KAFKA_STORIES) --nocapture

# What a run makes up stays in FUZZED; the corpus of the tree changes only by hand.
FUZZED := $(or $(FUZZED),$(CACHE)/fuzz)
FUZZ := PATH="$(CACHE)/tools/bin:$$PATH" CARGO_TARGET_DIR="$(TARGET_DIR)/fuzz" cargo +nightly fuzz

# Books about who allocated what take half of the time; a finding that needs them is run again without this.
FUZZ_ASAN := malloc_context_size=0:detect_stack_use_after_return=0:quarantine_size_mb=1

.PHONY: fuzz
fuzz: ## Each fuzz target for MINUTES (10), on one core; TARGETS="line server" takes some
	@.ci/setup fuzz
	cd tests/fuzz && $(FUZZ) build --fuzz-dir .
	@cd tests/fuzz; for target in $(or $(TARGETS),$(notdir $(wildcard tests/fuzz/corpus/*))); do \
		mkdir -p "$(FUZZED)/$$target"; echo "fuzzing: $$target"; \
		case $$target in server) length=512 ;; *) length=4096 ;; esac; \
		ASAN_OPTIONS=$(FUZZ_ASAN) $(FUZZ) run --fuzz-dir . $$target "$(FUZZED)/$$target" corpus/$$target -- \
			-max_len=$$length -rss_limit_mb=1024 \
			-print_final_stats=1 -max_total_time=$$(($(or $(MINUTES),10) * 60)) 2>&1 | \
			grep -vE '^#[0-9]+.*(NEW|REDUCE|pulse)|DE:|Uses:' || exit 1; \
	done

.PHONY: deny
deny: ## Licences, sources and bans of the dependencies
	@.ci/setup deny
	$(DENY) --log-level error check bans licenses sources

.PHONY: advisories
advisories: ## Known faults of the dependencies (needs the advisory database, so a network)
	@.ci/setup deny
	$(DENY) check advisories

.PHONY: dist
dist: build ## One archive with the binaries
	@mkdir -p dist/fnaa
	cp "$(TARGET_DIR)/release/fnaad" "$(TARGET_DIR)/release/fnua" README.md LICENSE docs/fnaad.example.toml dist/fnaa/
	tar -C dist -czf "dist/fnaa-$$(uname -s | tr A-Z a-z)-$$(uname -m).tar.gz" fnaa
	@ls -l dist/*.tar.gz
