# Everything runs in .venv, which `make setup` makes; the other targets make it first where it is missing.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup quickstart bench test test-slow check wheel clean

help:
	@echo "make setup       install bertling and its tools into .venv (PYTHON=... for another Python)"
	@echo "make quickstart  distil a small model on this machine and write its report"
	@echo "make bench       measure distilling and serving in a quick form (DATA=... for a folder of data)"
	@echo "make test        run the tests, but for the slow ones"
	@echo "make test-slow   run the slow tests"
	@echo "make check       lint, formatting, types, import rules"
	@echo "make wheel       build the wheel into dist/"
	@echo "make clean       remove what is built and cached; .venv and runs/ stay"

setup: $(STAMP)

# An install is current until pyproject.toml or constraints.txt changes.
$(STAMP): pyproject.toml constraints.txt
	@echo "Installing bertling and its dependencies into .venv; the first time takes a few minutes ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --upgrade --constraint constraints.txt pip
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@

quickstart: setup
	$(BIN)/bertling run quickstart

# DATA holds glue/SST-2, glue/MRPC and corpus.txt.gz. Without it the student is the quickstart's, and distilling,
# which is measured on those texts, is left out.
DATA ?= ../shared/data
BENCH := runs/bench
ifeq ($(wildcard $(DATA)/glue/SST-2/train.tsv),)
BENCH_RECIPE := quickstart
else
BENCH_RECIPE := sst2 --set data.folder=$(DATA)/glue/SST-2 --set data.train_examples=16000
endif

bench: setup
	@mkdir -p $(BENCH)
ifneq ($(wildcard $(DATA)/glue/SST-2/train.tsv),)
	$(BIN)/python benchmarks/distillation.py --glue $(DATA)/glue --corpus $(DATA)/corpus.txt.gz --cases mrpc blocks-128 --json $(BENCH)/distillation.json
else
	@echo "There is no $(DATA)/glue/SST-2: distilling is not measured. Give DATA=FOLDER."
endif
	$(BIN)/bertling run $(BENCH_RECIPE) --set output=$(BENCH)/student --set baseline=none --set report=none
	$(BIN)/python benchmarks/inference.py $(BENCH)/student --work $(BENCH)/serving --rounds 1 --json $(BENCH)/inference.json

# A process for each core, and one thread in each: models this small gain nothing from more.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=logical --dist=loadfile

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=logical --dist=loadfile -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

wheel: setup
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
