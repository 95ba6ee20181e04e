# Two commands on a machine with only Python 3.11 (or newer) and make:
# `make demo` and `make test`. Each sets up ./.venv by itself, once.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first Python that will do on the PATH; `make PYTHON=/path/to/python3.12 test` picks another.
WILL_DO := import ensurepip, ssl, sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(WILL_DO)' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
CODE := $(wildcard blocks cookbook tests bench)

.PHONY: help demo test check faults audit fuzz format bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.ready-demo ## Load 20,000 issues from a local API into DuckDB, twice
	$(BIN)/python -m blocks demo

test: .venv/.ready-dev ## Run all tests, warnings as errors
	$(BIN)/python -m pytest --numprocesses auto

check: .venv/.ready-dev ## Run every check: ruff, mypy --strict, tests with coverage
	$(BIN)/ruff check $(CODE) hatch_build.py
	$(BIN)/ruff format --check $(CODE) hatch_build.py
	$(BIN)/mypy $(CODE)
	$(BIN)/python -m pytest --numprocesses auto --cov --cov-report=term

faults: .venv/.ready-dev ## Faults, kills, hostile servers, random schedules, a million records: hours
	$(BIN)/python -m tests.faults --seeds 200
	$(BIN)/python -m tests.kills
	$(BIN)/python -m tests.hostile
	$(BIN)/python -m tests.simulation
	BLOCKS_THOROUGH=1 $(BIN)/python -m pytest -q tests/test_values_roundtrip.py

audit: .venv/.ready-audit ## Look for unsafe code and slow regular expressions
	$(BIN)/bandit -q -ll -s B608 -r blocks
	$(BIN)/python -m tests.fuzz.patterns blocks
	-$(BIN)/pip-audit --skip-editable # where the index tells of vulnerabilities

fuzz: .venv/.ready-fuzz ## Fuzz each parser ten million times: half an hour or more
	@for name in waits links quotas times paths; do \
		$(BIN)/python -m tests.fuzz.atheris_parsers $$name -runs=10000000 -max_len=512; done

format: .venv/.ready-dev ## Format the code and mend what ruff can mend
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: .venv/.ready-dev ## Measure: the normalizer, pipelines, limits, latency, transports, cursors
	@for name in normalize pipeline limits latency transports cursors; do \
		echo "== bench/$$name.py"; $(BIN)/python bench/$$name.py; done

clean: ## Remove the environment and everything generated
	rm -rf .venv build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f blocks/_layouts.*.so blocks/normalize/_builder.*.so
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up runs again only when pyproject.toml changed; the stamp's name is the extra it installed.
# An environment that is there is kept, unless its Python is gone or too old.
.venv/.ready-%: pyproject.toml hatch_build.py $(wildcard blocks/native/* blocks/normalize/native/*)
	@if ! $(BIN)/python -c '$(WILL_DO)' 2>/dev/null; then \
		[ -n "$(PYTHON)" ] || { echo "Needs Python 3.11 or newer with venv (Debian: python3-venv)" >&2; exit 1; }; \
		echo "Making .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear .venv; fi
	@echo "Installing this package and its '$*' extra into .venv; the first time takes a minute"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --editable '.[$*]' \
		| grep --line-buffered -E '^(Collecting|Installing|Successfully)'
	@touch $@
