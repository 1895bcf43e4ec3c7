# Two commands for a newcomer: `make demo` and `make test`. Both make .venv first; nothing else is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DATA ?= $(or $(VICINO_DATA),../shared/data)
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-scale test-crash check bench docs clean

demo: $(VENV)/demo.done  ## climb the ladder on Python's own standard library
	$(BIN)/vicino demo

test: $(VENV)/test.done  ## the suite; test-scale and test-crash are apart
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/crash --ignore tests/scale

test-scale: $(VENV)/test.done  ## a Ray cluster of three nodes, PostgreSQL and Milvus, all on this machine
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/scale
	VICINO_STORES=postgresql,milvus $(BIN)/python -m pytest -n 2 --dist loadfile tests/store/test_conformance.py tests/store/test_spaces.py

test-crash: $(VENV)/test.done  ## processes killed at random moments, two writers and four readers, a full disk: some minutes
	$(BIN)/python -m pytest -n 2 --dist load tests/crash

check: $(VENV)/test.done  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench.done  ## the figures of the README, as JSON under bench-out/
	mkdir -p bench-out
	for name in encode lexical ladder ingest words glove swivel doc2vec topics graphs train_speed rerank mining recommend; do \
	    echo "benchmarks/$$name.py ..." >&2; \
	    $(BIN)/python benchmarks/$$name.py --data $(DATA) > bench-out/$$name.json || exit 1; \
	    cat bench-out/$$name.json; \
	done
	$(BIN)/python benchmarks/finetune.py --data $(DATA) --work bench-out/finetune > bench-out/finetune.json
	$(BIN)/python benchmarks/images.py --data $(DATA) --work bench-out/images > bench-out/images.json
	$(BIN)/python benchmarks/growth.py bench-out/words.json bench-out/graphs.json > bench-out/growth.svg

docs: $(VENV)/test.done  ## write the command reference and the README's tables from what is there
	$(BIN)/python docs/make.py
	$(BIN)/python benchmarks/plan.py --write docs/scale.md

clean:  ## remove what make made
	rm -rf $(VENV) .vicino bench-out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (two minutes or so) ..." >&2
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@

$(VENV)/bench.done: $(VENV)/test.done
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all,bench,dev,peers]'
	touch $@

$(VENV)/test.done: $(VENV)/demo.done
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all,bench,dev]'
	touch $@
