# make demo · make test · make test-fast · make lint · make setup: each does everything on a machine with Python 3.11–3.13 and make.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The newest Python that the packages are tested with; PYTHON=python3.12 make setup chooses another.
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,$(shell command -v $(p) >/dev/null 2>&1 && $(p) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $(p))))

.PHONY: demo test test-fast test-slow test-faults lint setup audit bench clean
.DEFAULT_GOAL := demo

demo: setup
	$(BIN)/python -m src.train
	@echo
	@echo "Next: your own pictures, one folder a class (PHOTOS/cat/…, PHOTOS/dog/…):"
	@echo "  $(BIN)/python -m src.train data=folder data.root=PHOTOS"
	@echo "and what the runs have done, in a browser:"
	@echo "  $(BIN)/tensorboard --logdir outputs"

test: setup
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-fast: setup
	$(BIN)/python -m pytest -m "not slow and not whole" -n auto --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -n auto --dist loadfile

test-faults: setup
	$(BIN)/python -m pytest -n auto --dist loadfile tests/resuming tests/trained tests/training tests/data tests/command/test_resume.py tests/settings/test_trust.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Known vulnerabilities of the pinned packages. It asks PyPI, so it is no part of `make lint`; what can't be looked up fails.
audit: setup
	@test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit && $(VENV)/audit/bin/pip install --quiet --disable-pip-version-check pip-audit; }
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

bench: setup
	$(BIN)/python -m tests.benchmarks.bench_training

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then echo "ResLens needs Python 3.11, 3.12 or 3.13: install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; fi
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) can't make virtual environments: on Debian and Ubuntu, apt install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV) with $(PYTHON): downloads about 3 GB, takes about 6 GB of disk and 2 to 5 minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
