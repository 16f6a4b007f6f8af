# make demo · make test · make docs · make bench · make replay · make page P=adab2n/layer · make refresh
# A CPU-only torch on Linux: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs bench replay page refresh sync

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "papers_nb needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/papers_nb grid adab2n/train --grid 'norm=bn-separate,bn-joint,adab2n;seed=0,1' --workers 2 --html

test: .venv/ready
	$(BIN)/python -m pytest --durations=10

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
