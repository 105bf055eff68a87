# completion-relay: `make` alone says what there is.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCES := relay workflow schemas tests deploy

# Two at a time, each with servers of its own: most of a test is waiting for one.
SIDE_BY_SIDE := -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-apache test-wheel check format bench chaos drills protos lock clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## a .venv with everything installed, from the hashed lock

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	@echo "==> $(VENV): installing (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %s: make setup PYTHON=python3.12" % sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## the whole loop on a real Temporal server and a Kafka broker, live
	@$(BIN)/completion-relay demo

up: setup ## Temporal, Kafka and a relay until Ctrl-C, data kept
	@$(BIN)/completion-relay up

test: setup ## unit, contract and integration tests, on embedded servers
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/contract tests/integration

test-apache: setup ## the integration tests on a real Apache Kafka (needs Java and Maven)
	@$(BIN)/python -m pytest tests/integration tests/apache --kafka apache

test-wheel: setup ## the tests against the built wheel, the sources out of reach
	@$(BIN)/python tests/wheel.py

check: setup ## format, lint, types, import walls, schemas, image and compose file
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/buf lint schemas
	@$(BIN)/buf breaking schemas/proto --against schemas/buf/v1.binpb
	@$(BIN)/hadolint deploy/Dockerfile
	@$(BIN)/python deploy/check.py

bench: setup ## the relay beside direct completion, as ratios in one run (BENCH="--only a --quick")
	@$(BIN)/python -m tests.bench $(BENCH)

chaos: setup ## relays, brokers, Temporal and network fail: nothing lost or doubled? (Java, Maven; CHAOS='--seed N')
	@$(BIN)/python -m tests.chaos $(CHAOS)

drills: setup ## the disasters of relay/DRILLS.md, played through on real servers (DRILLS='--records N --figures FILE')
	@$(BIN)/python -m pytest tests/drills $(DRILLS)

format: setup ## formats and mends what a tool can
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

protos: setup ## writes anew what is generated from the .proto files
	@$(BIN)/python schemas/generate.py
	@$(BIN)/python schemas/write_golden.py

lock: ## writes the hashed lock files anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --extra relay pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --constraint requirements.lock --all-extras --group dev pyproject.toml -o requirements-dev.lock
	echo 'hatchling>=1.27' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  --constraint requirements-dev.lock - -o deploy/requirements-build.lock

clean: ## removes .venv, caches and the embedded stack's data
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache .completion-relay dist build
