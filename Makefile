# `make help` lists the targets. Each works from a fresh clone: what it needs is set up first.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format bench build constraints clean clean-all

# The first interpreter that runs and can make virtual environments; 3.11 is the one tested.
# (A name on the PATH alone says little: version managers leave stubs that only print an error.)
PYTHON ?= $(shell for python in python3.11 python3.12 python3.10 python3.13 python3; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' \
	>/dev/null 2>&1 && echo "$$python" && break; done)
# Which optional dependencies to install: all, since the tests use them.
EXTRAS ?= dev,cells,sweep

# Always .venv's interpreter, whatever environment the shell has activated.
unexport PYTHONPATH
unexport PYTHONHOME
RUN := .venv/bin/python
STAMP := .venv/.mixvae-setup-$(EXTRAS)
# A .venv is sound if it imports mixvae from this very folder and holds what mixvae needs.
SOUND := $(RUN) -I -c "import importlib.util, os, sys, mixvae; sys.exit(not ( \
	os.path.samefile(mixvae.__path__[0], 'mixvae') and all(map(importlib.util.find_spec, ( \
	'torch', 'lightning', 'hydra', 'omegaconf', 'wandb', 'torchmetrics', 'numpy', 'scipy', \
	'sklearn', 'matplotlib', 'pooch', 'tqdm', 'rich')))))" 2>/dev/null

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sort | sed -E 's/:.*## */\t/' | expand -t 14

setup:  ## Make .venv and install mixvae with the tested versions; quick when nothing changed
	@fresh() { [ "$$1" -nt pyproject.toml ] && [ "$$1" -nt constraints.txt ]; }
	if [ -e "$(STAMP)" ] && fresh "$(STAMP)" && [ ! -e .venv/.installing ] && $(SOUND); then
		exit 0
	fi
	# Keep an environment that an earlier set-up finished; build anything else from nothing.
	if [ -e .venv/.installing ] || ! $(RUN) -I -m pip --version >/dev/null 2>&1 \
		|| { [ -e "$(STAMP)" ] && ! $(SOUND); }; then
		if ! "$(PYTHON)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' \
			>/dev/null 2>&1; then
			echo "mixvae needs Python 3.10 or newer with venv, which '$(PYTHON)' is not;" \
				"name another: make setup PYTHON=..." >&2
			exit 1
		fi
		echo "Making .venv with $(PYTHON) ($$("$(PYTHON)" --version 2>&1))"
		rm -rf .venv
		"$(PYTHON)" -m venv .venv
	fi
	echo "Installing mixvae [$(EXTRAS)] into .venv (minutes the first time)"
	touch .venv/.installing
	# One call with the pins, so that nothing brings in another build of torch. The build back
	# ends come first, from the same pins: a later set-up then needs no network. (setuptools: for
	# antlr4, which has no wheel, and which the one that comes with Python 3.11 cannot build.)
	$(RUN) -m pip install -qq --disable-pip-version-check -c constraints.txt hatchling setuptools
	$(RUN) -m pip install -qq --disable-pip-version-check -c constraints.txt \
		--no-build-isolation -e ".[$(EXTRAS)]"
	rm .venv/.installing
	touch "$(STAMP)"

demo: setup  ## Train on scikit-learn's digits (no download); print accuracy and pictures
	@$(RUN) -m mixvae.train +experiment=digits_cpl

test: setup  ## Run the fast tests, on all cores
	@$(RUN) -m pytest -m "not slow" -n auto --maxprocesses 8 --dist worksteal

test-slow: setup  ## Run the slow tests, half an hour on two cores
	@$(RUN) -m pytest -m slow -n auto --maxprocesses 4 --dist worksteal --timeout=1800

lint: setup  ## Check style, formatting, the floor plan of imports, and types
	@$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/lint-imports --no-cache --no-logo
	$(RUN) -m mypy

format: setup  ## Format the code and mend what can be mended
	@$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: setup  ## Time training steps, loading and starting against plain PyTorch, in minutes
	@$(RUN) -m experiments.bench

build: setup  ## Build the wheel and the source archive into dist/
	@$(RUN) -m build --no-isolation

# Resolved for every Python from 3.10 on. torch stays at the version tested; its CUDA packages,
# which torch pins itself and which were not tested here, are left out.
constraints: setup  ## Renew constraints.txt with the newest versions; then run every test
	@$(RUN) -m pip install -qq --disable-pip-version-check uv
	{
		echo "# Tested on Python 3.11; resolved by \`make constraints\` for every Python from 3.10 on."
		echo "torch==2.13.0" | $(RUN) -m uv pip compile pyproject.toml --universal --all-extras \
			--python-version 3.10 --upgrade -c /dev/stdin --no-annotate --no-header --quiet \
			| grep -vE '^(nvidia-|cuda-|triton)'
	} > constraints.txt.new
	mv constraints.txt.new constraints.txt

clean:  ## Remove builds and caches; runs/ and .venv stay
	@rm -rf build dist .pytest_cache .ruff_cache .mypy_cache ./*.egg-info .coverage
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

clean-all: clean  ## Remove .venv too; runs/ stays
	@rm -rf .venv
