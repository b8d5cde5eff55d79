# Everything runs in a private virtual environment, .venv, made on first use from requirements.lock.

PYTHON ?= python3
JOBS ?= 2
AREA ?=
ENVIRONMENT := .venv
BIN := $(ENVIRONMENT)/bin
READY := $(ENVIRONMENT)/.ready
DEMO := runs/demo

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint format coverage bench lock clean

help:
	@echo "make demo      trade a day among three microgrids of five homes; the report is left in $(DEMO)"
	@echo "make test      every check: lint, then all tests, the wheel's among them (JOBS=$(JOBS) processes)"
	@echo "make lint      style, types, floors"
	@echo "make format    lay the code out"
	@echo "make coverage  the tests, with the lines that no test reached"
	@echo "make bench     rates per CPU second (AREA=kernel for one area)"
	@echo "make lock      resolve the dependencies again into requirements.lock (UPGRADE=1 for their newest versions)"
	@echo "make clean     remove what was built, cached and run, and .venv"
	@echo
	@echo "Python 3.11 or newer is all that is needed. PYTHON=... names another interpreter than python3."

demo: $(READY)
	$(BIN)/tanglegrid run configs/three-microgrids.toml --out $(DEMO)
	@echo "The report: $(CURDIR)/$(DEMO)/report.html"

test: lint
	$(BIN)/python -m pytest -q -n $(JOBS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(READY)
	$(BIN)/python -m pytest -q -n $(JOBS) --cov --cov-report=term

bench: $(READY)
	$(BIN)/python -m tests.benchmarks $(AREA)

# The one place that resolves versions. The lock holds for every Python from 3.11 on, and names no index.
lock: $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --quiet \
		--output-file requirements.lock
	@! grep -nE 'https?://|file:|index-url|find-links' requirements.lock || { echo "requirements.lock names an address"; exit 1; }

clean:
	rm -rf $(ENVIRONMENT) runs dist .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(READY): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/python:
	@for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3.14; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "tanglegrid needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$found can't make virtual environments: its modules venv and ensurepip are missing."; \
		echo "On Debian and Ubuntu they are in the package python3-venv."; exit 1; \
	fi; \
	echo "Setting up $(ENVIRONMENT) with $$($$found --version); this is done once."; \
	$$found -m venv $(ENVIRONMENT)
