# Everything one types in this repository. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env demo test check format lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP = $(VENV)/.installed-$(or $(TORCH_BACKEND),default)

# The interpreter that the environment is made with; the first one that is >= 3.11.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
  command -v "$$name"; break; fi; done)
# `cpu` takes torch without CUDA from PyTorch's own index: 0.2 GB instead of 3 GB. An environment
# remembers which torch it was made with, so that one says so once.
TORCH_BACKEND ?= $(shell cat $(VENV)/.torch-backend 2>/dev/null)
# How long the demo stays live after its replay; FOR=forever never ends it.
DEMO_SECONDS ?= 120
FOR ?=
# Further arguments of pytest, for example ARGS="-k partition -x".
ARGS ?=

# One thread per process: the stack's processes share the machine, and BLAS threads that outnumber
# the cores make training several times slower.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP) ## Make or refresh the environment in .venv (TORCH_BACKEND=cpu: the small torch)

demo: env ## Run everything here against a simulated storefront (DEMO_SECONDS=120, FOR=forever)
	@DEMO_SECONDS='$(DEMO_SECONDS)' FOR='$(FOR)' $(BIN)/headrace demo

test: env ## Run all tests, against a real Kafka and a real Redis that they start themselves
	@$(BIN)/python -m pytest $(ARGS)

check: env ## What CI runs: style, types, package rules, all tests with coverage
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

format: env ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: env ## Resolve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
	  --upgrade --quiet --output-file requirements.lock

clean: ## Remove the environment, caches and the local stack's files
	rm -rf $(VENV) dist .headrace .coverage .hypothesis .import_linter_cache .mypy_cache \
	  .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -----------------------------------------------------------------------------

UV_VERSION = $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements.lock)

# Depends on the lock and on the project's metadata only: the installation is editable.
$(STAMP): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "found: $$(python3 --version 2>&1 || true);" \
	  "expected: Python >= 3.11; name one with: make PYTHON=/path/to/python" >&2; exit 1; fi
	@if ! [ -x $(BIN)/python ]; then "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "found: $(PYTHON) without its venv module; expected: a complete Python;" \
	    "on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
ifeq ($(TORCH_BACKEND),)
	$(BIN)/uv pip sync --python $(BIN)/python --quiet requirements.lock
else
	@# Another build of torch has other hashes and needs no CUDA libraries: resolve within the lock.
	$(BIN)/uv pip compile pyproject.toml --group dev --python $(BIN)/python --quiet \
	  --no-header --no-annotate --torch-backend=$(TORCH_BACKEND) \
	  --constraints <(sed -e '/^ /d' -e 's/ *\\$$//' requirements.lock) \
	  --output-file $(VENV)/requirements.$(TORCH_BACKEND).txt
	$(BIN)/uv pip sync --python $(BIN)/python --quiet --torch-backend=$(TORCH_BACKEND) \
	  $(VENV)/requirements.$(TORCH_BACKEND).txt
endif
	@# The lock holds the build backend, so nothing more is downloaded here.
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-* && echo '$(TORCH_BACKEND)' > $(VENV)/.torch-backend && touch $@
