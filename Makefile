# `make help` lists the targets. Each works from a fresh clone: what it needs is set up first.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow smoke test-pythons lint format bench docs build constraints \
	clean clean-all

# The Python of the environment; empty takes the newest one tested, or keeps what is there.
PYTHON ?=
# Which optional dependencies to install: all, since the tests use them.
EXTRAS ?= dev,cells,sweep,docs,dashboard,loggers
# Where the environment lies; `make test-pythons` makes .venv-3.12, ... beside it.
VENV ?= .venv

# Always the environment's interpreter, whatever the shell has activated.
unexport PYTHONPATH
unexport PYTHONHOME
# Compiled once for hundreds of processes of the tests.
unexport PYTHONDONTWRITEBYTECODE
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.mixvae-setup-$(EXTRAS)
# An environment is sound if it imports mixvae from this very folder and holds what mixvae needs.
SOUND := $(RUN) -I -c "import importlib.util, os, sys, mixvae; sys.exit(not ( \
	os.path.samefile(mixvae.__path__[0], 'mixvae') and all(map(importlib.util.find_spec, ( \
	'torch', 'lightning', 'hydra', 'omegaconf', 'wandb', 'torchmetrics', 'numpy', 'scipy', \
	'sklearn', 'matplotlib', 'jinja2', 'plotly', 'pooch', 'tqdm', 'rich')))))" 2>/dev/null

# Shell functions. `resolve python3.12` prints an interpreter of this name from the PATH or pyenv;
# `pythons` one of each tested version, the newest first. A name on the PATH alone says little:
# version managers leave stubs that only print an error, and some builds cannot make environments.
define FUNCTIONS
usable() {
	"$$1" -c 'import ensurepip, sqlite3, sys, venv; sys.exit(sys.version_info < (3, 10))' \
		>/dev/null 2>&1
}
version() {
	"$$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}
resolve() {
	for python in "$$1" "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin/"$$1"; do
		if usable "$$python"; then
			echo "$$python"
			break
		fi
	done
}
pythons() {
	for minor in 13 12 11 10; do
		resolve python3.$$minor
	done
}
endef

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sort | sed -E 's/:.*## */\t/' | expand -t 14

setup:  ## Make .venv and install mixvae with the tested versions; quick when nothing changed
	@$(FUNCTIONS)
	python=$$([ -z "$(PYTHON)" ] || resolve "$(PYTHON)")
	fresh() { [ "$$1" -nt pyproject.toml ] && [ "$$1" -nt constraints.txt ]; }
	wanted() { [ -z "$(PYTHON)" ] || [ "$$(version "$$python")" = "$$(version $(RUN))" ]; }
	if [ -e "$(STAMP)" ] && fresh "$(STAMP)" && [ ! -e $(VENV)/.installing ] && wanted \
		&& $(SOUND); then
		exit 0
	fi
	# Keep an environment that an earlier set-up finished; build anything else from nothing.
	if [ -e $(VENV)/.installing ] || ! $(RUN) -I -m pip --version >/dev/null 2>&1 || ! wanted \
		|| { [ -e "$(STAMP)" ] && ! $(SOUND); }; then
		if [ -z "$(PYTHON)" ]; then
			read -r python < <(pythons; resolve python3; echo)
		fi
		if [ -z "$$python" ]; then
			echo "mixvae needs Python 3.10 or newer with venv, which '$(or $(PYTHON),python3)' is" \
				"not; name another: make setup PYTHON=..." >&2
			exit 1
		fi
		echo "Making $(VENV) with $$python ($$("$$python" --version 2>&1))"
		rm -rf $(VENV)
		"$$python" -m venv $(VENV)
	fi
	echo "Installing mixvae [$(EXTRAS)] into $(VENV) (minutes the first time)"
	touch $(VENV)/.installing
	# One call with the pins, so that nothing brings in another build of torch. The build back
	# ends come first, from the same pins: a later set-up then needs no network. (setuptools: for
	# antlr4, which has no wheel, and which the one that comes with Python 3.11 cannot build.)
	$(RUN) -m pip install -qq --disable-pip-version-check -c constraints.txt hatchling setuptools
	$(RUN) -m pip install -qq --disable-pip-version-check -c constraints.txt \
		--no-build-isolation -e ".[$(EXTRAS)]"
	rm $(VENV)/.installing
	touch "$(STAMP)"

demo: setup  ## Train on scikit-learn's digits (no download); print accuracy and pictures
	@$(RUN) -m mixvae.train +experiment=digits_cpl

test: setup  ## Run the fast tests, on all cores
	@$(RUN) -m pytest -m "not slow" -n auto --maxprocesses 8 --dist worksteal

test-slow: setup  ## Run the slow tests, half an hour on two cores
	@$(RUN) -m pytest -m slow -n auto --maxprocesses 4 --dist worksteal --timeout=1800

smoke: setup  ## Run the smoke tests: one run of each kind, in a minute
	@$(RUN) -m pytest -m smoke -n auto --maxprocesses 2 --dist worksteal --timeout=900

test-pythons: setup  ## Run the smoke tests on every other Python found, each in a .venv-3.N
	@$(FUNCTIONS)
	own=$$(version $(RUN))
	made=""
	while read -r python; do
		version=$$(version "$$python")
		if [ "$$version" = "$$own" ]; then
			continue
		elif $(MAKE) --no-print-directory setup VENV=.venv-$$version PYTHON="$$python" </dev/null; then
			made="$$made $$version"
		else
			echo "Python $$version is skipped: an environment for it cannot be made" >&2
		fi
	done < <(pythons)
	for version in $$made; do
		echo "Smoke tests on Python $$version"
		$(MAKE) --no-print-directory smoke VENV=.venv-$$version PYTHON=
	done

lint: setup  ## Check style, formatting, the floor plan of imports, and types
	@$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-cache --no-logo
	$(RUN) -m mypy

format: setup  ## Format the code and mend what can be mended
	@$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: setup  ## Time training steps, loading and starting against plain PyTorch, in minutes
	@$(RUN) -m experiments.bench

# The tutorials run at the first build; later builds take their outputs from build/doctrees.
docs: setup  ## Build the documentation site into build/docs; warnings are errors
	@$(RUN) -m sphinx -q -W --keep-going -b html -d build/doctrees docs build/docs
	echo "build/docs/index.html"

build: setup  ## Build the wheel and the source archive into dist/
	@$(RUN) -m build --no-isolation

# Resolved for every Python from 3.10 on. torch stays at the version tested; its CUDA packages,
# which torch pins itself and which were not tested here, are left out.
constraints: setup  ## Renew constraints.txt with the newest versions; then run every test
	@$(RUN) -m pip install -qq --disable-pip-version-check uv
	{
		echo "# Tested on Python 3.10 to 3.13; resolved by \`make constraints\` for every Python from 3.10 on."
		echo "torch==2.13.0" | $(RUN) -m uv pip compile pyproject.toml --universal --all-extras \
			--python-version 3.10 --upgrade -c /dev/stdin --no-annotate --no-header --quiet \
			| grep -vE '^(nvidia-|cuda-|triton)'
	} > constraints.txt.new
	mv constraints.txt.new constraints.txt

clean:  ## Remove builds and caches; runs/ and environments stay
	@rm -rf build dist .pytest_cache .ruff_cache .mypy_cache ./*.egg-info .coverage
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

clean-all: clean  ## Remove the environments too; runs/ stays
	@rm -rf .venv .venv-3.*
