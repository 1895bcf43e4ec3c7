# Two commands for a newcomer: `make demo` and `make test`. Both make .venv first; nothing else is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DATA ?= $(or $(VICINO_DATA),../shared/data)
PAGE := src/vicino/server/page/index.html
PAGE_SOURCE := $(wildcard page/*.json page/*.html page/*.ts) $(shell find page/src page/public -type f)
SUITE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
    --ignore tests/crash --ignore tests/newcomer --ignore tests/page --ignore tests/scale
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long test-readme test-scale test-crash check bench docs page page-if-node test-page clean

demo: $(VENV)/demo.done page-if-node  ## climb the ladder on Python's own standard library
	$(BIN)/vicino demo

test: $(VENV)/test.done page-if-node  ## the suite; test-long, -readme, -page, -scale and -crash are apart
	$(SUITE) -m "not long"

test-long: $(VENV)/test.done page-if-node  ## of the same tests those that take long: killed at many moments, repeated, taught
	$(SUITE) -m long

test-readme: $(VENV)/test.done  ## every command and every block of the README, in order, as a newcomer runs them
	$(BIN)/python -m pytest tests/newcomer

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
	$(BIN)/python benchmarks/claims.py --data $(DATA) --work bench-out/claims > bench-out/claims.json
	$(BIN)/python benchmarks/evidence.py --data $(DATA) --work bench-out/evidence > bench-out/evidence.json
	$(BIN)/python benchmarks/abtest.py > bench-out/abtest.json
	$(BIN)/python benchmarks/serve.py --data $(DATA) > bench-out/serve.json
	$(BIN)/python benchmarks/growth.py bench-out/words.json bench-out/graphs.json > bench-out/growth.svg

docs: $(VENV)/test.done  ## write the command reference and the README's tables from what is there
	$(BIN)/python docs/make.py
	$(BIN)/python benchmarks/plan.py --write docs/scale.md
	$(BIN)/python benchmarks/claims.py --write docs/claims.md
	$(BIN)/python benchmarks/evidence.py --figures docs/figures/evidence.json --write docs/evidence.md

page: $(PAGE)  ## build the page of `vicino serve`; wants Node 20.19 or later

test-page: $(VENV)/test.done page  ## the page's own logic, and pages in chromium, which wants a process of its own
	cd page && npm test
	$(BIN)/python -m pytest tests/page

clean:  ## remove what make made
	rm -rf $(VENV) page/node_modules $(dir $(PAGE)) .vicino bench-out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The two commands do without the page where it cannot be built, and say so.
page-if-node:
	@if command -v npm > /dev/null; then \
	    $(MAKE) --no-print-directory page || echo "The page was not built, see above; all but the page works without it." >&2; \
	else echo "No Node here, so no page for vicino serve: install Node 20.19 or later and run make page." >&2; fi

$(PAGE): page/node_modules/.package-lock.json $(PAGE_SOURCE)
	@echo "Building the page of vicino serve ..." >&2
	@cd page && npm run --silent build -- --logLevel warn
	@touch $@

page/node_modules/.package-lock.json: page/package-lock.json
	@echo "Fetching what builds the page into page/node_modules ..." >&2
	cd page && npm ci --no-progress --loglevel=error
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (two minutes or so) ..." >&2
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all]'
	@touch $@

$(VENV)/bench.done: $(VENV)/test.done
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all,bench,dev,peers]'
	@touch $@

$(VENV)/test.done: $(VENV)/demo.done
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all,bench,dev]'
	@touch $@
