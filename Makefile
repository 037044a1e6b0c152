# Orchestrator. `make help` lists the verbs.
# Works from any folder: make -C /path/to/orchestrator run
SHELL := /bin/bash
.DEFAULT_GOAL := help

ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
VENV := $(ROOT)/.venv
BIN := $(VENV)/bin
# The first of these that runs and is new enough.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; \
	done; echo python3)

# Where `make run` listens and keeps its data. DATA unset: ~/.local/share/orchestrator
HOST ?= 127.0.0.1
PORT ?= 5000
DATA ?=
PYTEST ?=
JOBS ?= 2

.PHONY: help run setup setup-dev environment system-packages test pytest lint format bench learn-demo lock clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(ROOT)/Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

run: setup ## install what is missing, start the desktop server (HOST, PORT, DATA)
	@exec $(BIN)/orchestrator serve --host '$(HOST)' --port '$(PORT)' $(if $(DATA),--data '$(abspath $(DATA))')

setup: ## install the desktop (GGUF models, no torch) into .venv
	@"$(PYTHON)" $(ROOT)/deployment/setup desktop

setup-dev: system-packages ## install everything, for tests and training
	@"$(PYTHON)" $(ROOT)/deployment/setup dev
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --prefix $(ROOT)/tests/clients/javascript; \
		else echo "npm is not installed: the JavaScript clients' tests will be skipped" >&2; fi

system-packages: ## Debian packages the tests need (as root; otherwise only says what is missing)
	@$(ROOT)/deployment/system_packages.sh

test: setup-dev lint pytest ## lint, then every test; what CI runs

# After a system upgrade the environment's Python may be gone.
environment:
	@$(BIN)/python -c 'import ai_orchestrator, pytest' 2>/dev/null || \
		{ echo "error: the environment in $(VENV) is missing or its Python was changed; run: make -C '$(ROOT)' setup-dev" >&2; exit 1; }

# A test that fails beside the others is tried once more alone: both reports stand in the output.
pytest: environment ## the tests alone, in JOBS processes; PYTEST='-k word' passes options
	@cd $(ROOT) && { $(BIN)/python -m pytest -n $(JOBS) --no-loadscope-reorder $(PYTEST) || \
		{ [ $$? = 1 ] && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(PYTEST); }; }

lint: environment ## ruff, mypy, import contracts, shellcheck, nginx, systemd
	@cd $(ROOT) && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@cd $(ROOT) && $(BIN)/mypy
	@cd $(ROOT) && $(BIN)/lint-imports
	@$(ROOT)/deployment/lint.sh

format: environment ## let ruff fix and format
	@cd $(ROOT) && $(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: environment ## run the benchmarks; results belong in docs/benchmarks.md
	@cd $(ROOT) && for script in benchmarks/bench_*.py; do $(BIN)/python "$$script" || exit 1; done

learn-demo: environment ## fine-tune Gemma 3 270M on a CPU, export it, compare (20 minutes or more)
	@cd $(ROOT) && PYTHONPATH=tests $(BIN)/python benchmarks/learn_demo.py

lock: environment ## write the installed versions to constraints.txt, and the VPS's hashes
	@$(BIN)/python $(ROOT)/deployment/lock.py

clean: ## remove the environment and caches; models and data stay
	@rm -rf $(VENV) $(ROOT)/.mypy_cache $(ROOT)/.ruff_cache $(ROOT)/.pytest_cache $(ROOT)/.hypothesis
