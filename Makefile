# Needs Python 3.11 or newer, pip and make. Everything else goes into .venv, once.

# The first interpreter that really runs (a shim may not) and is new enough.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := .venv/bin
UV := $(BIN)/uv
READY := .venv/.ready

# Test files are handed to so many processes, each with a cache of compiled programs of its own.
WORKERS ?= -n 2 --dist loadfile

.PHONY: demo test test-slow lint bench lock venv

demo: $(READY)
	$(BIN)/fairhand demo

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" $(WORKERS)

# pytest exits with 5 when it finds nothing to run, which is no failure here.
test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(WORKERS) || test $$? -eq 5

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

bench: $(READY)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/picking.py
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/participatory.py
	$(BIN)/python benchmarks/inference/run.py --quick

# One set of pins for every Python from 3.11 on.
lock: $(UV)
	$(UV) pip compile --upgrade --no-header --no-annotate --universal --fork-strategy fewest --python-version 3.11 \
		pyproject.toml --extra dev -o constraints.txt

venv: $(READY)

# Some systems ship Python without ensurepip: then their own pip fills the environment.
$(UV):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found; say which: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv || $(PYTHON) -m venv --without-pip .venv
	$(BIN)/python -m pip --version >/dev/null 2>&1 && $(BIN)/python -m pip install --quiet uv \
		|| $(PYTHON) -m pip --python $(BIN)/python install --quiet uv

# The link lets pyright find the package by its name.
$(READY): $(UV) pyproject.toml constraints.txt
	$(UV) pip install --python $(BIN)/python -c constraints.txt -e ".[dev]"
	mkdir -p .venv/typing && ln -sfn "$(CURDIR)" .venv/typing/fairhand
	touch $@
