# Each target alone sets up what it needs: an environment in .venv, made anew when pyproject.toml or constraints.txt change.
#   make demo PYTHON=python3.12                         another interpreter
#   make demo PIP_FLAGS="--extra-index-url <index>"     anything pip takes, e.g. an index with CPU-only builds of torch
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
INSTALL = test -x $(BIN)/pip || $(PYTHON) -m venv .venv; $(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt
export HF_HUB_OFFLINE := 1

.PHONY: demo test lint bench pocket clean

demo: .venv/.installed  ## a picture gives its caption and a film, another its sound; a text gives all three
	$(BIN)/orch run "image -> text -> video" -i image=flows/media/dog.png
	$(BIN)/orch run "image -> audio" -i image=flows/media/violin.png
	$(BIN)/orch run "text -> image + audio + video" -i text="a guitar on a blue ground"

test: lint  ## everything that CI runs
	OMP_NUM_THREADS=1 $(BIN)/pytest

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/.installed-dev  ## the numbers in README
	@set -e; for file in $(wildcard benchmarks/bench_*.py); do $(BIN)/python $$file; done

pocket: .venv/.installed-dev  ## train the pocket bundle from scratch (hours; resumes where it stopped)
	$(BIN)/python -m recipes.pocket

clean:  ## not runs/ and not .pocket/: those are yours
	rm -rf .venv build/lib build/bdist.* dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.venv/.installed: pyproject.toml constraints.txt
	@echo "Setting up .venv (about 1.5 GB, a few minutes) ..."
	$(INSTALL) -e .
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt
	@echo "Setting up .venv (about 1.5 GB, a few minutes) ..."
	$(INSTALL) -e ".[dev]"
	@touch $@ .venv/.installed
