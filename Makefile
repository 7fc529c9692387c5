# Two commands set everything up on a fresh machine with Python 3.11+ and make:
#
#   make demo    an agent's budget: kept, then broken on purpose, then explained
#   make test    the test suite (the cell "both clients, pytest 9" of the nox matrix)
#
# and for contributors:
#
#   make fuzz    the tests of properties once more with many new examples, and all tests in another order
#   make check   format, lint, types, import contracts, tests, build: what has to be green
#   make bench   what the plugin costs, as one table
#   make lock    write requirements/*.txt anew
#   make docs    the site, in build/docs; warnings are errors
#   make picture draw docs/failing-run.svg anew (`make pictures` takes the page's picture too, in a Chromium)

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# Many tests start processes of their own; without byte code each would compile all of its libraries anew.
unexport PYTHONDONTWRITEBYTECODE

# The suite runs on all cores; `make test PYTEST_ARGS="tests/providers -k anthropic"` runs a part of it on one.
PYTEST_ARGS ?= -n auto --dist worksteal

both  := .venv
httpx := .venv-httpx
frameworks := .venv-frameworks
bin   := $(both)/bin

.PHONY: demo test fuzz check bench lint build test-httpx test-frameworks lock docs picture pictures clean

demo: $(both)/.made
	@$(bin)/python conftest_examples/calendar_agent/demo.py

test: $(both)/.made
	$(bin)/python -m pytest $(PYTEST_ARGS)

# Random on purpose, so no part of `make check`: what it finds is kept as an example beside the test.
fuzz: $(both)/.made
	$(bin)/python -m pytest -p randomly --hypothesis-profile=fuzz $(PYTEST_ARGS)

check: lint test build

bench: $(both)/.made
	$(bin)/python -m benchmarks

lint: $(both)/.made
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports

build: $(both)/.made
	rm -rf dist
	$(bin)/python -m build --no-isolation --outdir dist .
	$(bin)/twine check --strict dist/*

# The front door once more with yesterday's SDKs: httpx alone and pytest 8.
test-httpx: $(httpx)/.made
	$(httpx)/bin/python -m pytest tests/front_door tests/plugin tests/test_ledger_server.py $(PYTEST_ARGS)

# The examples of the frameworks, with the newest release of each.
test-frameworks: $(frameworks)/.made
	$(frameworks)/bin/python -m pytest tests/test_examples.py $(PYTEST_ARGS)

lock: $(both)/.made
	$(bin)/python -m pip install --quiet uv
	for cell in "both --all-extras" httpx httpx2 frameworks; do set -- $$cell; \
	$(bin)/uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make lock" \
		--group $$1 $$2 --output-file requirements/$$1.txt pyproject.toml || exit 1; done

docs: $(both)/.made
	$(bin)/python -m sphinx -W --keep-going -q -b html docs build/docs

picture: $(both)/.made
	$(bin)/python conftest_examples/calendar_agent/demo.py --svg docs/failing-run.svg

pictures: picture
	$(bin)/python docs/take_pictures.py

clean:
	rm -rf .venv .venv-httpx .venv-frameworks .nox dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# A stale environment is thrown away whole: what is installed is what the lock says and nothing else.
# uv only makes it quick; where it cannot be had, or cannot reach the index that pip is configured for, pip does it.
.venv/.made .venv-httpx/.made .venv-frameworks/.made: pyproject.toml | python
	@echo "Making $(@D) from $(lock_file) ..."
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null || true
	@for tool in "uv pip" "pip"; do \
		$(@D)/bin/python -m $$tool install --quiet -r $(lock_file) \
		&& $(@D)/bin/python -m $$tool install --quiet --no-deps --no-build-isolation -e . \
		&& touch $@ && break; done; test -f $@

.venv/.made:       lock_file := requirements/both.txt
.venv-httpx/.made: lock_file := requirements/httpx.txt
.venv-frameworks/.made: lock_file := requirements/frameworks.txt
.venv/.made:       requirements/both.txt
.venv-httpx/.made: requirements/httpx.txt
.venv-frameworks/.made: requirements/frameworks.txt

.PHONY: python
python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: install it, or say make PYTHON=/path/to/python3"; exit 1; }
