# Everything lives in .venv; a stamp in there says what was installed last, so a second run starts at once.
#   make demo [TRANSPORT=websocket] [ARGS='--text "hello"']    make test [TESTS=tests/protocol]    make lint    make docs    make bench

PYTHON ?= python3
ARGS ?=
TRANSPORT ?=
TESTS ?=

BIN := .venv/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
INSTALL := $(BIN)/python $(PIP_INSTALL) --constraint constraints/dev.txt
EVERY_EXTRA := aec,audio,cli,espeak,fast,libwebrtc,mcp,otel,server,webrtc
BENCH_EXTRAS := aec,espeak,fast,libwebrtc,server,webrtc

# Other people's clients, which our server is tested against; see tests/interop.
INTEROP :=
ifneq ($(wildcard tests/interop/*.py),)
INTEROP += .venv-interop/.stamp
endif
ifneq ($(and $(wildcard tests/interop/package.json),$(shell command -v npm)),)
INTEROP += tests/interop/node_modules/.stamp
endif

# Pyodide and workerd, in which voxwire runs as well; see tests/edge.
EDGE :=
ifneq ($(shell command -v npm),)
EDGE += tests/edge/node_modules/.stamp tests/edge/site-packages/.stamp
endif

.PHONY: demo test lint docs bench format constraints clean

demo: .venv/.stamp-demo
	$(BIN)/voxwire demo $(if $(TRANSPORT),--transport $(TRANSPORT)) $(ARGS)

# Most tests share the cores; what plays in real time (see tests/conftest.py) has them to itself afterwards.
# A part of the tests (TESTS=...) cannot reach the coverage floors, so they are only checked for all of them.
test: .venv/.stamp-test $(INTEROP) $(EDGE)
ifneq ($(TESTS),)
	$(BIN)/python -m pytest $(TESTS) $(ARGS)
else
	$(BIN)/python -m pytest -m "not alone" --numprocesses auto --dist worksteal --cov --cov-report= $(ARGS)
	$(BIN)/python -m pytest -m alone --cov --cov-append --cov-report= --cov-report=json:.coverage.json $(ARGS)
	$(BIN)/python scripts/coverage_floor.py .coverage.json
endif

lint: .venv/.stamp-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: .venv/.stamp-docs
	$(BIN)/python scripts/state_diagrams.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir site
	@echo "The documentation is in site/index.html"

bench: .venv-bench/.stamp $(EDGE)
	.venv-bench/bin/python bench/run.py $(ARGS)

format: .venv/.stamp-lint
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

# New pins, from fresh environments: the newest versions that work together.
constraints:
	rm -rf .venv-pins
	@sh scripts/make_venv.sh '$(PYTHON)' .venv-pins
	.venv-pins/bin/python $(PIP_INSTALL) --editable '.[$(EVERY_EXTRA)]' --group dev
	.venv-pins/bin/python -m pip freeze --exclude-editable > constraints/dev.txt
	rm -rf .venv-pins
	@sh scripts/make_venv.sh '$(PYTHON)' .venv-pins
	.venv-pins/bin/python $(PIP_INSTALL) --editable '.[$(BENCH_EXTRAS)]' --group interop --group bench
	.venv-pins/bin/python -m pip freeze --exclude-editable > constraints/interop.txt
	rm -rf .venv-pins

clean:
	rm -rf .venv .venv-* tests/interop/node_modules tests/edge/node_modules tests/edge/site-packages site dist build demo-out bench-out htmlcov \
		.coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts bench fuzz examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.venv/.stamp-demo: .venv/.stamp-venv pyproject.toml constraints/dev.txt
	$(INSTALL) --editable '.[server,espeak,webrtc]'
	@touch $@

.venv/.stamp-test: .venv/.stamp-venv pyproject.toml constraints/dev.txt
	$(INSTALL) --editable '.[$(EVERY_EXTRA)]' --group test
	@touch $@

# The type checkers look into every library that src uses, hence the extras, and pytest for the test kit.
.venv/.stamp-lint: .venv/.stamp-venv pyproject.toml constraints/dev.txt
	$(INSTALL) --editable '.[$(EVERY_EXTRA)]' --group lint --group test
	@touch $@

.venv/.stamp-docs: .venv/.stamp-venv pyproject.toml constraints/dev.txt
	$(INSTALL) --editable . --group docs
	@touch $@

.venv-interop/.stamp: pyproject.toml constraints/interop.txt
	@sh scripts/make_venv.sh '$(PYTHON)' .venv-interop
	.venv-interop/bin/python $(PIP_INSTALL) --constraint constraints/interop.txt --group interop
	@touch $@

.venv-bench/.stamp: pyproject.toml constraints/interop.txt
	@sh scripts/make_venv.sh '$(PYTHON)' .venv-bench
	.venv-bench/bin/python $(PIP_INSTALL) --constraint constraints/interop.txt --editable '.[$(BENCH_EXTRAS)]' --group bench
	@touch $@

tests/interop/node_modules/.stamp: tests/interop/package.json
	cd tests/interop && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

tests/edge/node_modules/.stamp: tests/edge/package.json
	cd tests/edge && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# For another Python than this one: nothing compiled, and no dependencies but those that are named.
tests/edge/site-packages/.stamp: tests/edge/requirements.txt .venv/.stamp-venv
	$(BIN)/python $(PIP_INSTALL) --upgrade --no-deps --target tests/edge/site-packages --requirement $< \
		--only-binary=:all: --platform any --python-version 3.13 --implementation py --abi none
	@touch $@

.venv/.stamp-venv:
	@sh scripts/make_venv.sh '$(PYTHON)' .venv
	@touch $@
