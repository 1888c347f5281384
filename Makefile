# The words that people and CI share. Each sets up what it needs: Python 3.11 or newer is all that must be there.
SHELL := /bin/bash
PYTHON ?= python3
TORCH := 2.13.0
BIN := .venv/bin
export TUNEYARD_HOME ?= $(CURDIR)/.tuneyard

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check slow

help:  ## Show these words
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: .venv/ready  ## Make .venv and install everything into it

demo: setup  ## A real model batch-tested, fine-tuned and batch-tested again, on this machine
	@$(BIN)/python -m deployments.demo

up: setup  ## The whole stack on this machine, until Ctrl-C (API_PORT=8400 PREFECT_PORT=4200)
	@$(BIN)/python -m deployments.up

# What disturbs the one stack mostly waits: it runs beside all other tests, and is shown after them.
test: setup  ## Every promise, on real servers and a tiny model
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/python -m pytest -m "stack and not slow" > .stack.log 2>&1 & stack=$$!; \
	 $(BIN)/python -m pytest -m "not stack and not slow"; others=$$?; \
	 wait $$stack; stack=$$?; cat .stack.log; exit $$((others || stack))

check: setup  ## Lint, format and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: setup  ## The long promises at their full figures
	$(BIN)/python -m pytest -m slow

# torch first, by itself: where no NVIDIA driver answers, its CPU build if one is on offer, for the default
# build brings gigabytes of CUDA. `ready` is touched last, so that an interrupted set-up starts again.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tuneyard needs Python 3.11 or newer; set PYTHON=…")'
	@echo "Setting up .venv (a minute or two) …"
	$(PYTHON) -m venv .venv
	@if nvidia-smi >/dev/null 2>&1; then $(BIN)/pip install -qq torch==$(TORCH); \
	 else $(BIN)/pip install -qq torch==$(TORCH)+cpu 2>/dev/null || $(BIN)/pip install -qq torch==$(TORCH); fi
	$(BIN)/pip install -qq -c constraints.txt -e '.[api,worker,dpo,keyring,dev]'
	@touch $@
