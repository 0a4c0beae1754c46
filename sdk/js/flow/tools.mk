# Where the tools are; installs what is missing, or names it. The versions are those of package.json.
.SHELLFLAGS := -eu -c

BIN := node_modules/.bin

.PHONY: node
node:
	@sh flow/install node

node_modules/.installed: package.json | node
	npm install --no-audit --no-fund --no-package-lock --loglevel=error >&2 || \
		{ echo "missing: what package.json names (npm install failed)" >&2; exit 1; }
	@touch $@

# The world of the plugin: the processor, and what EXPORTS names.
build/wit/plugin.wit: wit/processor.wit Makefile
	@sh flow/world wit build/wit $(EXPORTS)
