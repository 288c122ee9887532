# Two commands to know:  make quickstart   (backs up real files and restores them)
#                        make test         (installs what the tests need and runs them all)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv quickstart serve stop test suite torture fuzz lint format constraints bench bench-growth bench-micro browser screenshots clean fleet

# The first interpreter that is new enough; override with PYTHON=/path/to/python.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input
# Processes of the test run in parallel: one more than cores, since many tests wait for a disk or a server.
JOBS ?= 3

# Without byte code on disk every process that imports Prefect takes two seconds longer to start.
unexport PYTHONDONTWRITEBYTECODE
# No counting of users by any program that is started here.
export DO_NOT_TRACK := 1

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

venv: $(VENV)/.installed ## create .venv with pinned versions

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Davault needs Python 3.11 or newer; none was found. Say make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing Davault and what it needs into $(VENV) (about a minute the first time)"
	@$(PIP) --constraint constraints.txt --editable .
	@touch $@

# Holds all that .installed asks for: one run of pip makes both, which spares a new machine the other.
$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing Davault and what the tests and checks need into $(VENV)"
	@$(PIP) --constraint constraints.txt --editable '.[dev,postgresql]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-browser: pyproject.toml constraints.txt $(VENV)/.installed-dev
	@command -v chromium google-chrome >/dev/null || { echo "Chromium is missing: apt-get install chromium fonts-noto-cjk" >&2; exit 1; }
	@$(PIP) --constraint constraints.txt --editable '.[dev,browser]'
	@touch $@

# SOURCE=/path backs up your own directory; KEEP=1 leaves the servers running to look at; DAVAULT_HOME=/path moves everything.
quickstart: $(VENV)/.installed ## back up, change, back up again, validate, restore, compare - as Prefect flows
	@$(BIN)/python -m flows.quickstart

stop: ## stop what KEEP=1 left running
	@$(BIN)/python -m flows.quickstart --stop

serve: $(VENV)/.installed ## the control room: Prefect's pages, a worker and the schedules, until Ctrl+C
	@$(BIN)/davault serve

lint: $(VENV)/.installed-dev ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

constraints: $(VENV)/.installed-dev ## write down the versions that are in .venv
	@{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -vE '^#|^-e|@' | sort -f; } >.constraints.new
	@mv .constraints.new constraints.txt

format: $(VENV)/.installed-dev ## let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.cache/test-programs: tools/test-programs
	@mkdir -p .cache
	@tools/test-programs
	@touch $@

test: lint suite ## all checks and all tests

# Apart from lint, so that make --jobs runs the two side by side.
suite: $(VENV)/.installed-dev .cache/test-programs
	$(BIN)/pytest -n $(JOBS) --dist=worksteal

browser: $(VENV)/.installed-browser ## every flow from its run form in Chromium (minutes; needs the chromium package)
	DAVAULT_BROWSER=1 $(BIN)/pytest tests/browser

screenshots: $(VENV)/.installed-browser ## the same, and the pictures of docs/images anew
	DAVAULT_BROWSER=1 DAVAULT_PICTURES=docs/images $(BIN)/pytest tests/browser

# Each with its default in benchmarks/side_by_side/__main__.py; docs/benchmarks.md explains them.
BENCH_SCALE ?= 1
ROUNDS ?= 3
bench: $(VENV)/.installed-dev .cache/test-programs ## compare with restic, duplicity and a floor: SETS=code CASES=first LINKS=long BENCH_SCALE=0.01 ROUNDS=3
	$(BIN)/python -m benchmarks.side_by_side --scale $(BENCH_SCALE) --rounds $(ROUNDS) \
		$(if $(SETS),--sets "$(SETS)") $(if $(CASES),--cases "$(CASES)") $(if $(PEERS),--peers "$(PEERS)") $(if $(LINKS),--links "$(LINKS)")

FILES ?= 10000,100000
BLOBS ?= 10000000
bench-growth: $(VENV)/.installed-dev ## how cost grows: FILES=10000,100000 BLOBS=10000000
	$(BIN)/python -m benchmarks.growth --files "$(FILES)" --blobs $(BLOBS)

bench-micro: $(VENV)/.installed-dev ## hot functions, and calls a file compared with benchmarks/calls.json: UPDATE=1
	$(BIN)/pytest -q -p no:cacheprovider benchmarks/micro.py --benchmark-columns=min,median,ops --benchmark-sort=name
	$(BIN)/python -m benchmarks.calls $(if $(UPDATE),--update)

fleet: $(VENV)/.installed-dev .cache/test-programs ## three machines in network namespaces on which everything fails once (root, half an hour)
	$(BIN)/python -m tools.three_hosts

# Length of the long tests: points at which each job dies ("all" for every one), kills, histories; TORTURE is a slice.
DEATHS ?= 50
KILLS ?= 100
HISTORIES ?= 300
TORTURE ?= tests/torture tests/histories tests/unit/repository/test_prune_lies.py tests/unit/repository/test_prune_answers.py \
	tests/unit/repository/test_locks_in_doubt.py

torture: $(VENV)/.installed-dev .cache/test-programs ## the same at length (hours): death, kills, lies, random histories
	DAVAULT_TALLY=$(CURDIR)/.cache/tally DAVAULT_DEATHS=$(DEATHS) DAVAULT_KILLS=$(KILLS) DAVAULT_HISTORIES=$(HISTORIES) \
		$(BIN)/pytest -n $(JOBS) --dist=worksteal -o timeout=0 $(TORTURE)
	@$(BIN)/python tools/torture_summary.py .cache/tally

FUZZ_SECONDS ?= 120
FUZZ ?=
fuzz: $(VENV)/.installed-dev ## every reader of bytes from a server, by coverage, where atheris is installed (half an hour)
	@$(BIN)/python -m tools.fuzz --seconds $(FUZZ_SECONDS) --jobs 1 $(if $(FUZZ),$(FUZZ),--write)

clean: ## remove what make and the tests have made (not the venv, not your backups)
	rm -rf build dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
