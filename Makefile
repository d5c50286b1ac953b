# Needs Python 3.11 or newer with its venv module, git and make; everything else is fetched into
# .venv and into a cache outside the tree.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The environment is made anew when what it holds changes.
STAMP := $(VENV)/.made
RUN_STAMP := $(VENV)/.made-to-run
.DEFAULT_GOAL := help
.PHONY: help demo check lint types unit test soak bench tools docs rules dashboards generated clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

demo: $(RUN_STAMP) ## the exporter on a simulated cluster (STORY=name, SPEED=n)
	@$(BIN)/virt-upgrade-exporter demo $(if $(STORY),--scenario $(STORY)) $(if $(SPEED),--speed $(SPEED))

check: lint types unit ## lint, types and unit tests: the everyday part

lint: $(STAMP) ## ruff, rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

unit: $(STAMP) ## unit tests, no server needed
	$(BIN)/pytest -q -n auto tests/unit

test: lint types tools ## everything this machine permits, on real servers too
	VIRT_TEST_THOROUGH=1 $(BIN)/pytest -q -n auto -m searching
	$(BIN)/pytest -q -n auto --cov --cov-report=term:skip-covered --cov-report=json:.coverage.json \
		-m "not searching and not long"
	$(BIN)/python -m tests.coverage .coverage.json
	# These wait for servers more than they compute.
	$(BIN)/pytest -n $$(($$(nproc) + 1)) --dist worksteal -m long

soak: $(STAMP) ## what is too long for every day: weeks, every fault in every story, random lives (three hours)
	$(BIN)/python -m tests.soak

bench: $(STAMP) ## CPU, memory and delays beside kube-state-metrics (half an hour; VMS=n, ROUNDS=n)
	$(BIN)/python -m bench $(if $(VMS),--vms $(VMS)) $(if $(ROUNDS),--rounds $(ROUNDS))

tools: $(STAMP) ## build and fetch the servers of the tests (kube-apiserver takes 8 minutes once)
	$(BIN)/python -m tests.tools

generated: docs rules dashboards ## everything that is generated

docs: $(STAMP) ## docs/metrics.md
	$(BIN)/python -m exporter.metrics.reference > docs/metrics.md

rules: $(STAMP) ## rules/rendered
	$(BIN)/python -m rules

dashboards: $(STAMP) ## dashboards/rendered
	$(BIN)/python -m dashboards

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; name one with make PYTHON=...'; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo 'the venv module is needed: apt-get install python3-venv'; exit 1; }

$(RUN_STAMP): pyproject.toml | $(VENV)/bin/python
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(STAMP): pyproject.toml | $(VENV)/bin/python
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@ $(RUN_STAMP)

clean: ## remove the environment and what tools leave behind
	rm -rf $(VENV) .coverage .coverage.json .pytest_cache .mypy_cache .ruff_cache .hypothesis
