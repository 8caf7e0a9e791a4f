# Two commands matter: make demo, make test. Both install what they need.
SHELL := /bin/sh
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
PYTHON_BIN := .venv/bin

.PHONY: install finetune demo types methods steptime test test-gpu chaos stories mutants generate format

install: node_modules/.installed
	@./trainer/install.sh

# What training language models and neural networks needs besides, 2.7 GB.
finetune: install
	@./trainer/install.sh finetune

node_modules/.installed: package.json package-lock.json
	@echo 'Node packages: installing'
	@npm ci --no-audit --no-fund --loglevel=error
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 24 ? 1 : 0)' || { \
	  echo 'There is no package of Node 24 for this system: put Node 24 or newer first in PATH' >&2; exit 1; }
	@touch $@

# TYPE=svm_regression runs a tabular job of that type, ROWS and ROUNDS make it longer; JOB=sft, cpt, dpo, orpo or rlhf fine-tunes a language
# model; KEEP=1 leaves everything running until Ctrl-C; TELEMETRY=pull lets the operator call the pod.
demo: install $(if $(filter-out tabular,$(JOB))$(filter keras_%,$(TYPE)),finetune)
	@exec node test/demo/main.ts

# Every tabular type through operator and simulator: its metric beside that of its library alone, seconds, cost.
types: finetune
	@exec node test/demo/types.ts

# Every method of fine-tuning through operator and simulator to a model that plain transformers load: what it measured, read back over the API.
methods: finetune
	@exec node test/demo/methods.ts

# What our callbacks and the upload in the background add to a training step, beside TRL alone.
steptime: finetune
	@exec $(PYTHON_BIN)/python test/bench/steptime.py

test: install
	@./trainer/install.sh finetune lightning
	@exec node test/all.ts

# What needs a GPU: half precision, quantised weights, several processes on CUDA. Without a GPU it says how many tests were skipped.
test-gpu: install
	@./trainer/install.sh finetune
	@cd trainer && exec ../$(PYTHON_BIN)/python -m pytest tests_gpu --no-header --no-summary

# Every scenario, disturbed at every write and event in every way, against its undisturbed run. A sample of it is in make test.
chaos: install
	@exec node test/chaos/main.ts

# Random lives of jobs, other ones in every run: edits, mishaps and trainers of every kind. Some hundred fixed ones are in make test.
stories: install
	@PROPERTY_SEED=$${PROPERTY_SEED:-$$(date +%s)} PROPERTY_RUNS=$${PROPERTY_RUNS:-5000} exec vitest run test/property/life.test.ts

# Bugs put into a private copy of the sources, one at a time; the tests must notice each.
mutants: install
	@exec node test/mutants/main.ts

# Writes what is derived from other files: API types, the table of settings.
generate: install
	@node controller/api/generate.ts
	@node test/docs/settings.ts

format: install
	@oxfmt --write .
	@$(PYTHON_BIN)/ruff format -q trainer
