# make demo   a simulated scanner through the whole loop, with pictures at the end
# make test   the tests
# make check  the tests, and what a change must pass besides: ruff, mypy, the documentation
# make bench  the measurements
# make docs   the documentation, as HTML in docs/_build
# make clean  remove what the others made (the virtual environment stays)
#
# All of them use the active virtual environment, or make .venv with the newest Python found, 3.11 or later.

SHELL := /bin/sh
VENV := $(or $(VIRTUAL_ENV),.venv)
PY := $(VENV)/bin/python
# One mark for each set of requirements, of this clone: another clone may have been installed into the same environment.
INSTALLED := $(VENV)/.rtbids-$(shell pwd | cksum | cut -d ' ' -f 1)

.PHONY: help demo test check style types pages bench docs clean
.DELETE_ON_ERROR:

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

demo: $(INSTALLED)-base
	@$(PY) -m rtbids.cli.demo

# Tests that keep time (marked "alone") have the machine to themselves; before them the others are shared out, file by file.
# Those that failed run once more, on the quiet machine: what passes then is named, for a test that fails now and then is a fault.
# PYTEST_ARGS, where given, are the arguments of one plain pytest.
SHARED := --numprocesses auto --maxprocesses 8 --dist loadfile

test: $(INSTALLED)-test
ifdef PYTEST_ARGS
	@$(PY) -m pytest $(PYTEST_ARGS)
else
	@rm -rf .pytest_cache; export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1; failed=; \
	$(PY) -m pytest -m "not alone" $(SHARED) || failed=1; \
	env -u OMP_NUM_THREADS -u OPENBLAS_NUM_THREADS $(PY) -m pytest -m alone || failed=1; \
	test -z "$$failed" || { echo "Tests that failed, once more:"; $(PY) -m pytest --last-failed --last-failed-no-failures none -v -rA; }
endif

check: style types pages test

style: $(INSTALLED)-check
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check

types: $(INSTALLED)-check build/typed
	@MYPYPATH=build/typed $(PY) -m mypy --cache-dir build/mypy -p rtbids

pages: $(INSTALLED)-check
	@$(PY) -m sphinx -q -W --keep-going -b html docs docs/_build/html

bench: $(INSTALLED)-test
	@$(PY) bench

docs: $(INSTALLED)-check
	@$(PY) docs/generate.py
	@$(MAKE) --no-print-directory pages
	@echo "docs/_build/html/index.html"

clean:
	rm -rf build dist demo docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# The folders as they are once installed (cli/ is rtbids.cli), for mypy, which does not follow an editable installation.
.PHONY: build/typed
build/typed:
	@rm -rf $@ && mkdir -p $@/rtbids
	@ln -s "$(CURDIR)"/rtbids/* "$(CURDIR)/cli" "$(CURDIR)/bids_app" "$(CURDIR)/sample_experiments" $@/rtbids/

# $(call install,EXTRAS,MARKS)
define install
	@echo "Installing rtbids$(if $(1), with what $(1) needs) into $(VENV) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".$(if $(1),[$(1)])"
	@rm -f $(VENV)/.rtbids-* && touch $(addprefix $(INSTALLED)-,$(2))
endef

$(INSTALLED)-base: setup.cfg pyproject.toml | $(PY)
	$(call install,,base)

$(INSTALLED)-test: setup.cfg pyproject.toml | $(PY)
	$(call install,test,base test)

$(INSTALLED)-check: setup.cfg pyproject.toml | $(PY)
	$(call install,test$(comma)check$(comma)docs,base test check)

comma := ,

$(PY):
	@for python in python3.13 python3.12 python3.11 python3; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        $$python -m venv $(VENV) && exit 0; \
	        rm -rf $(VENV); echo "$$python cannot make a virtual environment (on Debian: apt install python3-venv)" >&2; exit 1; \
	    fi; \
	done; \
	echo "rtbids needs Python 3.11 or newer; found $$(python3 --version 2>&1)" >&2; exit 1
