# The two commands that matter are `make demo` and `make test`; each does all the set-up on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2  # processes that run the tests
FUZZ_MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help install demo test fuzz bench hub docs quality style clean

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install:  ## make .venv with everything in it
	@bash requirements/install.sh $(PYTHON)

demo: export PREFETCH_LLM = 1
# Without what the tests need beside, which takes minutes to install.
demo: export EXTRAS = demo,app
demo: install  ## from category names to labelled photos, with no model hub
	@$(BIN)/wordsight demo --out demo-output

test: install quality  ## lint, types, and the whole test suite
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(TESTS)

fuzz: install  ## try what nobody has thought of: new inputs of every kind, for FUZZ_MINUTES (10) in all
	@FUZZ_MINUTES=$(FUZZ_MINUTES) $(BIN)/python -m pytest tests/fuzz tests/hub/test_pairs_of_commands.py

bench: install  ## measure speed and memory against what else could be used; table, JSON and plots
	@$(BIN)/python -m benchmarks $(PARTS)

hub: install  ## a Hub on this machine, to try push and pull with
	@$(BIN)/python -m tests.fixtures.hub

docs: install  ## the documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

quality: install  ## lint, types, and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@bash requirements/quality.sh

style: install  ## format the code and mend what ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## remove what was built, the environment included
	rm -rf .venv demo-output build site .docs_tree .mypy_tree .mypy_cache .pytest_cache .ruff_cache *.egg-info
