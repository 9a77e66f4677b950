# Each target sets up the virtual environment first if necessary.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
SEED ?= 1
KILLS ?= 40

.PHONY: help demo test test-fast test-all check docs bench chaos fuzz setup prerequisites clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(READY) ## run a complete replay in a sandbox (two minutes)
	@$(RUN)/spade-spark demo

test: $(READY) ## run the tests in two processes (under eight minutes on two slow cores)
	@$(RUN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-fast: $(READY) ## run the tests that do not start Spark
	@$(RUN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not spark"

test-all: $(READY) ## run the long tests that `make test` excludes
	@$(RUN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m slow

check: $(READY) ## check style, format and types
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy

docs: $(READY) ## regenerate docs/cli.md, docs/settings.md, the output of the examples and lists of statements
	@$(RUN)/python -m tests.docs

bench: $(READY) ## measure the speed of the transform (see bench/README.md)
	@$(RUN)/python -m bench

chaos: $(READY) ## inject faults into replays for up to 45 minutes and check that no row is lost or duplicated
	@$(RUN)/python -m tests.chaos --seed $(SEED) --kills $(KILLS)

fuzz: $(READY) ## compare the fast path and the reference path on a million random lines
	@$(RUN)/python -m tests.fuzz --lines 1000000

setup: $(READY) ## create the virtual environment in .venv

prerequisites:
	@command -v $(PYTHON) >/dev/null 2>&1 && $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
	  || { echo "Python 3.10 or newer with venv is required: install it (Debian: apt-get install python3 python3-venv) or run make PYTHON=/path/to/python3" >&2; exit 2; }
	@major=$$("$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1); \
	  [ "$${major:-0}" -ge 17 ] \
	  || { echo "Java 17 or newer is required: install it (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME" >&2; exit 2; }

$(READY): pyproject.toml constraints.txt | prerequisites
	@echo "Creating $(VENV); this takes a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sandbox,dev]'
	@touch $@

clean: ## remove the virtual environment and generated files
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis conf/local.toml
