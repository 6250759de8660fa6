# How to try, set up, test and check identikit. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# -qq: errors only (-q would also list every index that lacks a package)
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
# Two workers fit two cores; more only where there are more.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(max(2, min(8, len(os.sched_getaffinity(0)))))" 2>/dev/null || echo 2)
# One thread a worker, or the workers fight for the cores; nothing is fetched in a test.
TEST := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The stamps lie inside .venv: who deletes it deletes them. They are written last: an install cut short is done again.
DEMO := $(VENV)/.demo-installed
ALL := $(VENV)/.all-installed
NEEDS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo setup test test-all test-long fuzz zoo docs compat check format clean
.DELETE_ON_ERROR:

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: $(DEMO) ## the main job on a real model: scan, prune, save, prove (installs what it needs first)
	@$(BIN)/identikit demo

setup: $(ALL) ## make .venv with everything
	@echo "$(VENV) is up to date."

test: $(ALL) ## every test but the long ones
	@$(TEST) -m "not long"

test-all: $(ALL) ## every test
	@$(TEST)

test-long: $(ALL) ## the long tests alone
	@$(TEST) -m long

fuzz: SECONDS ?= 60
fuzz: $(ALL) ## the readers of plans and results fed with spoiled files: make fuzz SECONDS=600 (x86-64 Linux)
	@PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(SECONDS)

zoo: $(ALL) ## every model type of transformers, layers removed and judged; writes docs/coverage.md (half an hour)
	@$(BIN)/python benchmarks/coverage.py --jobs $(WORKERS) --fresh --rivals $(ZOO)
	@$(BIN)/python benchmarks/coverage.py --jobs $(WORKERS) --fresh $(ZOO)

docs: $(ALL) ## the pages as a site in build/site, the generated ones written anew
	@for page in reference_pages cli_page benchmarks_page demo_picture; do $(BIN)/python scripts/$$page.py || exit 1; done
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "build/site/index.html (for the search: python -m http.server --directory build/site)"

compat: $(ALL) ## the wheel in clean environments, old and new libraries; writes docs/compatibility.md (an hour, 1 GB)
	@$(BIN)/python scripts/compatibility.py

check: $(ALL) ## lint, types, floors
	@$(BIN)/ruff check src tests benchmarks scripts examples
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_floors.py

format: $(ALL) ## lay the code out anew
	@$(BIN)/ruff check --fix-only --quiet src tests benchmarks scripts examples
	@$(BIN)/ruff format src tests benchmarks scripts examples

clean: ## remove .venv, caches and builds
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'identikit needs Python 3.11 or newer: make PYTHON=python3.12')"
	@$(PYTHON) -m venv $(VENV)

$(DEMO): $(NEEDS) | $(BIN)/pip
	@echo "Installing what the demo needs (one to two minutes) ..."
	@$(PIP) --editable ".[demo]"
	@touch $@

$(ALL): $(NEEDS) scripts/torchvision_without_cuda.py | $(BIN)/pip
	@echo "Installing everything (one to three minutes) ..."
	@$(PIP) --editable ".[all]"
	@$(BIN)/python scripts/torchvision_without_cuda.py
	@touch $(DEMO) $@
