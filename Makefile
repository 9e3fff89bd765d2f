# Every verb people and CI use. `make help` lists them; nothing is installed outside this folder.
PYTHON ?= python3
ARGS ?=
VENV := .venv
AIRFLOW_VENV := .venv-airflow
RIVALS_VENV := .venv-rivals
LOCALSTACK_VENV := .venv-localstack
BIN := $(VENV)/bin
UV := $(BIN)/uv
# Bytecode halves the start-up of every process here, so it is always written, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=
export DVC_NO_ANALYTICS := 1
PYTEST := $(BIN)/python -m pytest
LOCK := --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help setup run up down status airflow monitoring repro localstack test test-unit test-airflow test-localstack check demo-drift dashboards format bench layers package faults lock clean

help: ## list the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make run ARGS="--once --symbol BTC --as-of 2025-05-01T00:00:00Z"   arguments go to cryptovol run'

# ---------------------------------------------------------------- environments
$(BIN)/uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "cryptovol needs Python 3.11, 3.12 or 3.13; this is %d.%d. Cure: make PYTHON=python3.12 ..." % v)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "this Python cannot make virtual environments. Cure on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
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

# Layers are resolved for Lambda's Python and held to what dev.txt pins, so that what is tested is what ships.
lock: $(BIN)/uv ## re-resolve requirements/*.txt from pyproject.toml
	@for group in bootstrap dev airflow rivals localstack; do \
	  $(UV) pip compile $(LOCK) --python-version 3.11 --group $$group --output-file requirements/$$group.txt || exit 1; done
	@for group in layer-runtime layer-market layer-api layer-model layer-tracking layer-tune image; do \
	  $(UV) pip compile $(LOCK) --python-version 3.12 --constraint requirements/dev.txt --group $$group \
	    --output-file requirements/$$group.txt || exit 1; done
	@$(UV) pip compile $(LOCK) --python-version 3.12 --constraint requirements/dev.txt --group serve --no-deps \
	  --output-file requirements/serve.txt

# ---------------------------------------------------------------- the main job
run: setup ## local cloud up, the DAG end to end, the forecast printed and served (ARGS=--once: then stop)
	@$(BIN)/python -m cryptovol run $(ARGS)

up: setup ## start the local cloud and leave it running
	@$(BIN)/python -m cryptovol up $(ARGS)

down: ## stop what `make up` left running
	@test ! -e $(VENV)/.ready || $(BIN)/python -m cryptovol down $(ARGS)

status: ## what runs, where, and for how long
	@$(BIN)/python -m cryptovol status $(ARGS)

airflow: setup ## the Airflow UI on the local cloud
	@$(BIN)/python -m cryptovol up --airflow $(ARGS)

monitoring: setup ## Prometheus and Alertmanager on the local cloud, where they are installed
	@$(BIN)/python -m cryptovol up --monitoring $(ARGS)

$(LOCALSTACK_VENV)/.ready: requirements/localstack.txt localstack/executor/pyproject.toml $(BIN)/uv
	@echo "localstack   LocalStack without Docker, in an environment of its own (about 500 MB)"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(LOCALSTACK_VENV)
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(LOCALSTACK_VENV)/bin/python requirements/localstack.txt
	@$(UV) pip install --quiet --no-deps --no-build-isolation --offline --python $(LOCALSTACK_VENV)/bin/python \
	  --editable localstack/executor
	@touch $@

localstack: setup $(LOCALSTACK_VENV)/.ready ## the main job on LocalStack: its S3, Lambda and API Gateway, without Docker
	@$(BIN)/python -m cryptovol run --lane localstack $(ARGS)

repro: $(VENV)/.ready ## the same stages on files, by `dvc repro` (ARGS: what dvc repro takes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" CRYPTOVOL_SOURCE=$${CRYPTOVOL_SOURCE:-simulated} dvc repro $(ARGS)

# ---------------------------------------------------------------- tests and checks
test: setup ## the whole suite that needs no Docker
	@$(PYTEST) --numprocesses=2 --dist=loadfile --ignore=tests/airflow $(ARGS)
	@$(MAKE) --no-print-directory test-airflow

test-airflow: setup ## the DAG's tests, in Airflow's own environment
	@$(AIRFLOW_VENV)/bin/python -m pytest -c tests/airflow/pytest.ini tests/airflow

test-unit: $(VENV)/.ready ## only what starts no process
	@$(PYTEST) --ignore=tests/airflow -m "not stack and not realdata" $(ARGS)

test-localstack: setup $(LOCALSTACK_VENV)/.ready ## functions and API on LocalStack
	@$(PYTEST) tests/stack/test_localstack.py tests/stack/test_localstack_functions.py $(ARGS)

check: setup ## black, flake8, mypy strict, architecture tests
	@$(BIN)/black --check --quiet . || { $(BIN)/black --check . ; exit 1; }
	@$(BIN)/flake8
	@$(BIN)/mypy layers/core/python/cryptovol functions/predict localstack/executor/cryptovol_executor monitoring/grafana
	@for stage in ingest validate featurize train forecast score watch tune; do $(BIN)/mypy functions/$$stage/handler.py || exit 1; done
	@cd airflow/dags && $(CURDIR)/$(AIRFLOW_VENV)/bin/python -m mypy --config-file ../mypy.ini --cache-dir $(CURDIR)/.mypy_cache/airflow .
	@$(PYTEST) -q --durations=0 tests/architecture

demo-drift: $(VENV)/.ready ## drift, alert, retraining, gate, in under three minutes; needs Prometheus; writes var/demo/drift.html
	@$(BIN)/python -m cryptovol demo drift $(ARGS)

dashboards: $(VENV)/.ready ## write the Grafana dashboards from monitoring/grafana
	@$(BIN)/python -W ignore::DeprecationWarning -m monitoring.grafana.generate

format: $(VENV)/.ready ## let black write
	@$(BIN)/black --quiet .

$(RIVALS_VENV)/.ready: requirements/rivals.txt $(BIN)/uv
	@echo "bench        what the API is compared with, in an environment of its own"
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(RIVALS_VENV)
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(RIVALS_VENV)/bin/python requirements/rivals.txt
	@touch $@

bench: setup $(RIVALS_VENV)/.ready ## measure installs, the main job, stages and API; writes docs/benchmarks.md
	@$(BIN)/python bench/run.py $(ARGS)

layers: $(VENV)/.ready ## build what goes to Lambda, weigh it against the limits, import each function alone
	@$(BIN)/python -m cryptovol layers $(ARGS)

package: $(VENV)/.ready ## templates for AWS beside what `make layers` built: Terraform and CloudFormation
	@$(BIN)/python -m cryptovol package $(ARGS)

faults: $(VENV)/.ready ## try every fault of the stand-in server on every source; writes docs/faults.md
	@$(BIN)/python -W ignore -m tests.faults

clean: down ## remove the local cloud's state and every build (not the environments)
	@rm -rf var build .pytest_cache .mypy_cache
