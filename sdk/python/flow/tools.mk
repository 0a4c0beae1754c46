# Where the tools are; installs what is missing, or names it.
.SHELLFLAGS := -eu -c

PYTHON ?= python3
COMPONENTIZE_PY_VERSION := 0.25.1
FLOW_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flow-plugins
COMPONENTIZE_PY ?= $(FLOW_TOOLS)/componentize-py-$(COMPONENTIZE_PY_VERSION)/bin/componentize-py

.PHONY: tools python
tools:
	@sh flow/install componentize-py "$(FLOW_TOOLS)" $(COMPONENTIZE_PY_VERSION)

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "missing: Python 3.10 or newer (Debian: apt-get install python3)" >&2; exit 1; }

# The world of the plugin: the processor, and what EXPORTS names.
build/wit/plugin.wit: wit/processor.wit Makefile
	@sh flow/world wit build/wit $(EXPORTS)
