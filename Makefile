# make demo · make lab · make test · make docs · make bench · make replay · make page P=adab2n/layer · make refresh
# A CPU-only torch on Linux: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo lab test test-wheel test-pages test-runs test-rest docs bench replay page refresh sync

# What running needs, and what editing and testing need beside it.
.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "papers_nb needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/run: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[run]'
	touch $@

.venv/ready: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ .venv/run

demo: .venv/run
	$(BIN)/papers_nb grid adab2n/train --grid 'norm=bn-separate,bn-joint,adab2n;seed=0,1' --workers 2 --html

lab: .venv/ready
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/nbs

# The four parts run two at a time, since each waits a good deal: for pip, for kernels, for subprocesses.
WHEEL := tests/test_package.py
PAGES := tests/test_pages.py tests/core
RUNS := tests/test_kill.py tests/test_chains.py tests/test_engine.py

test: .venv/ready
	$(MAKE) -k -j2 $(if $(filter output-sync,$(.FEATURES)),-Otarget) test-wheel test-runs test-pages test-rest

test-wheel test-pages test-runs test-rest: PYTEST = $(BIN)/python -m pytest -rs --durations=10
test-wheel: .venv/ready
	$(PYTEST) $(WHEEL)

test-pages: .venv/ready
	$(PYTEST) $(PAGES)

test-runs: .venv/ready
	$(PYTEST) $(RUNS)

test-rest: .venv/ready
	$(PYTEST) $(addprefix --ignore=,$(WHEEL) $(PAGES) $(RUNS))

docs: .venv/ready
	$(BIN)/python tests/site/check.py

bench: .venv/ready
	$(BIN)/python tests/pages.py bench

replay: .venv/ready
	$(BIN)/python tests/replay.py

page: .venv/ready
	$(BIN)/python tests/pages.py page $(P)

refresh: .venv/ready
	$(BIN)/python tests/pages.py refresh

sync: .venv/ready
	$(BIN)/python tests/pages.py sync
