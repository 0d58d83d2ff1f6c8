# make help lists everything that is supported.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

SCHEDULER ?= slurm

demo: ## a job's way through all parts, then the market; SCHEDULER=slurm (the default), gridengine, local (no root) or existing; KEEP=1 leaves it up
	@tests/demo/prepare "$(SCHEDULER)"
	@$(MAKE) --no-print-directory $(VENV)/ready
	@$(BIN)/python -m tests.demo.run "$(SCHEDULER)"

test: lint $(VENV)/ready ## everything that must hold, in a few minutes
	@tests/prepare slurm
	@tests/prepare gridengine
	@tests/prepare task-spooler
	@tests/prepare man
	@tests/prepare machine
	@tests/prepare monitoring
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not full"

test-full: lint $(VENV)/ready ## the sizes of the promises; takes hours
	@tests/prepare slurm
	@tests/prepare newer-slurm
	@tests/prepare gridengine
	@tests/prepare task-spooler
	@tests/prepare man
	@tests/prepare machine
	@tests/prepare monitoring
	@$(BIN)/pip install -q --use-pep517 --no-warn-conflicts -c constraints.txt -e '.[fuzz]'
	$(BIN)/pytest -q --timeout=14400

lint: $(VENV)/ready ## ruff, mypy, committed stubs up to date
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python proto/generate.py --check

proto: $(VENV)/ready ## generate hpcbridge/wire/generated from proto/
	$(BIN)/python proto/generate.py

docs: $(VENV)/ready ## generate what in docs/ is generated: the worked example, what parse shows, API reference, manual pages, keys
	$(BIN)/python docs/make_worked_example.py
	$(BIN)/python docs/make_parsed.py
	$(BIN)/python docs/make_api_reference.py
	$(BIN)/python docs/make_man.py
	$(BIN)/python docs/make_metrics.py

bench: $(VENV)/ready ## the figures of docs/benchmarks.md, measured here
	@tests/prepare slurm
	@tests/prepare gridengine
	$(BIN)/python -m tests.benchmarks.run

rpm: $(VENV)/ready ## RPMs of agent, ledger and command, into build/rpm
	@tests/prepare rpm
	@PYTHON="$(CURDIR)/$(BIN)/python" packaging/rpm/build

clean: ## remove what the targets made
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(VENV)/ready: setup.cfg constraints.txt hpcbridge/__init__.py
	@PYTHON="$(PYTHON)" tests/prepare python
	@PYTHON="$(PYTHON)"; test -x $(BIN)/python || "$${PYTHON:-$$(command -v python3.11 || command -v python3)}" -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hpcbridge needs Python 3.11 or later")'
	@$(BIN)/pip install -q --use-pep517 --no-warn-conflicts -c constraints.txt -e ".[$$(PYTHON="$(PYTHON)" tests/prepare extras)]"
	@touch $@

.PHONY: help demo test test-full lint proto docs bench rpm clean
