# Two commands matter: make demo, make test. Both install what they need.
SHELL := /bin/sh
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
PYTHON_BIN := .venv/bin

.PHONY: install demo test generate format

install: node_modules/.installed
	@./trainer/install.sh

node_modules/.installed: package.json package-lock.json
	@echo 'Node packages: installing'
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# ROWS and ROUNDS make the job longer, KEEP=1 leaves everything running until Ctrl-C.
demo: install
	@exec node test/demo/main.ts

test: install
	@exec node test/all.ts

# Writes what is derived from other files: API types, the table of settings.
generate: install
	@node controller/api/generate.ts
	@node test/docs/settings.ts

format: install
	@oxfmt --write .
	@$(PYTHON_BIN)/ruff format -q trainer
