# make run   sets everything up and opens the app in the browser
# make test  sets everything up and passes the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run test check format benchmark screenshots clean
.DELETE_ON_ERROR:

run: $(VENV)/installed-app
	@$(BIN)/groundup up

test: $(VENV)/installed-test
	@$(BIN)/groundup models pull
	@OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist loadfile

check: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/installed-test
	$(BIN)/python benchmarks/generate.py

screenshots: $(VENV)/installed-test
	@$(BIN)/groundup models pull
	$(BIN)/python -m docs.screenshots

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("groundup needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": name another with make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed-app: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing what groundup needs into $(VENV) (once; some minutes)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[app]'
	@touch $@

$(VENV)/installed-test: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing what groundup and its tests need into $(VENV) (once; some minutes)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@ $(VENV)/installed-app
