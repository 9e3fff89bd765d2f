# Every verb people and CI use. `make help` lists them; nothing is installed outside this folder.
PYTHON ?= python3
ARGS ?=
VENV := .venv
AIRFLOW_VENV := .venv-airflow
BIN := $(VENV)/bin
UV := $(BIN)/uv
# Bytecode halves the start-up of every process here, so it is always written, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=
export DVC_NO_ANALYTICS := 1
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup run up down status airflow repro test test-unit test-stack test-airflow realdata check format bench lock clean

help: ## list the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make run ARGS="--once --symbol BTC --as-of 2025-05-01T00:00:00Z"   arguments go to cryptovol run'

# ---------------------------------------------------------------- environments
$(BIN)/uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "cryptovol needs Python 3.11, 3.12 or 3.13; this is %d.%d. Cure: make PYTHON=python3.12 ..." % v)'
	@echo "set-up 1/3  virtual environment"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.ready: requirements/dev.txt pyproject.toml $(BIN)/uv
	@echo "set-up 2/3  project packages (hash-checked, bytecode compiled)"
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements/dev.txt
	@$(UV) pip install --quiet --no-deps --no-build-isolation --offline --python $(BIN)/python --editable .
	@touch $@

$(AIRFLOW_VENV)/.ready: requirements/airflow.txt $(BIN)/uv
	@echo "set-up 3/3  Airflow, in an environment of its own"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(AIRFLOW_VENV)
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(AIRFLOW_VENV)/bin/python requirements/airflow.txt
	@touch $@

setup: $(VENV)/.ready $(AIRFLOW_VENV)/.ready ## both virtual environments; a no-op when nothing changed

lock: $(BIN)/uv ## re-resolve requirements/*.txt from pyproject.toml
	@for group in bootstrap dev airflow; do \
	  $(UV) pip compile --quiet --group $$group --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements/$$group.txt || exit 1; done
