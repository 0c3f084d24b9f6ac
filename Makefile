# make demo   a virtual environment, a real filter, its tests and a trace
# make test   a virtual environment and the whole test suite
# make lint   formatting, lint, types and layers
# make bench  benchmarks (ratios of one run; not part of the suite)
#
# PYTHON=python3.10 picks the interpreter, VENV=path the virtual environment.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.14 python3.11 python3.10 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
ARGS ?=

.PHONY: demo test lint bench docs clean

demo: $(VENV)/.installed
	@$(BIN)/python docs/demo/demo.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/benchmarks --benchmark-columns=min,median,ops,rounds $(ARGS)

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate.py failures

clean:
	rm -rf .venv* build dist proxywasm-results

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10 or newer with venv found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	@$(PIP) install -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) install -e '.[dev,guests,snapshot]'
	@touch $@
