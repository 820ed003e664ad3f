# `make run` opens the app, `make test` runs the tests; each does all the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TOOLS := meson-python meson ninja cython

.PHONY: run test test-long test-peer test-arm lint types bench conformance clean

$(VENV)/.tools: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt $(TOOLS)
	touch $@

# No build isolation: an editable install builds changed C and Cython again when it is imported, also by a
# `sterna` that is started without this environment's programs in PATH: so CYTHON names the whole path.
INSTALL := PATH="$(CURDIR)/$(BIN):$$PATH" CYTHON="$(CURDIR)/$(BIN)/cython" $(PIP) install

$(VENV)/.run: pyproject.toml $(VENV)/.tools
	$(INSTALL) --quiet --no-build-isolation -c constraints.txt -e ".[train]"
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.run
	$(INSTALL) --quiet --no-build-isolation -c constraints.txt -e ".[dev]"
	touch $@

run: $(VENV)/.run
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sterna

test: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest

# What takes minutes: training and downloads killed at many moments, memory estimates against measurements.
test-long: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m long

# The same model and adapter in llama.cpp; STERNA_LLAMA_CPP names the folder of its programs.
test-peer: $(VENV)/.dev
	@test -x "$(STERNA_LLAMA_CPP)/llama-completion" || { echo "set STERNA_LLAMA_CPP to the folder that has llama-completion"; exit 2; }
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m peer

# The kernels for ARM64, cross-compiled and emulated.
test-arm:
	$(MAKE) -C tests/ext/cross

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python .ci/contracts.py

types: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench

# Real cases made by others; STERNA_CONFORMANCE names their folder.
conformance: $(VENV)/.dev
	@test -d "$(STERNA_CONFORMANCE)" || { echo "set STERNA_CONFORMANCE to the folder of real cases"; exit 2; }
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m conformance

clean:
	rm -rf $(VENV) build dist
