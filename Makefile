# Everything that one does here. Each target does the set-up that it needs.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
SEED ?= 1
KILLS ?= 40

.PHONY: help demo test test-fast test-all check docs bench chaos fuzz setup prerequisites clean

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(READY) ## a wrong window becomes right, on an embedded S3 and warehouse (two minutes)
	@$(RUN)/spade-spark demo

test: $(READY) ## the tests, in two processes (under eight minutes on two slow cores)
	@$(RUN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-fast: $(READY) ## the same without those that start Spark
	@$(RUN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not spark"

test-all: $(READY) ## the long tests, which `make test` leaves out
	@$(RUN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m slow

check: $(READY) ## lint, format and types
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy

docs: $(READY) ## regenerate docs/cli.md, docs/settings.md and the output of the examples
	@$(RUN)/python -m tests.docs

bench: $(READY) ## the transform's speed as ratios (see bench/README.md)
	@$(RUN)/python -m bench

chaos: $(READY) ## kill, break and overload replays for up to 45 minutes: no row may be lost or doubled
	@$(RUN)/python -m tests.chaos --seed $(SEED) --kills $(KILLS)

fuzz: $(READY) ## a million random lines through the fast and the exact path
	@$(RUN)/python -m tests.fuzz --lines 1000000

setup: $(READY) ## only what the others need: a virtual environment in .venv

prerequisites:
	@command -v $(PYTHON) >/dev/null 2>&1 && $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
	  || { echo "Python 3.10 or newer with venv is needed and was not found: install it (Debian: apt-get install python3 python3-venv) or run make PYTHON=/path/to/python3" >&2; exit 2; }
	@major=$$("$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1); \
	  [ "$${major:-0}" -ge 17 ] \
	  || { echo "Java 17 or newer is needed and was not found: install it (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME" >&2; exit 2; }

$(READY): pyproject.toml constraints.txt | prerequisites
	@echo "Setting up $(VENV), once; this takes a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sandbox,dev]'
	@touch $@

clean: ## remove the virtual environment and all that was generated
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis conf/local.toml
