# The one list of commands. Each target says what it does: `make help`.
# Only Python >= 3.11 with venv and make are assumed; `make integration` also wants Java 17+,
# Maven, and Go 1.25+ with which it builds MinIO and versitygw once, into ~/.cache.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
PORT ?= 9092
JARS := integration/.jars
SUITE := integration/.kafka-python
MVN ?= mvn

# A lock file decides what is installed, so no setting of the machine may add to it.
unexport PIP_FIND_LINKS PIP_NO_INDEX PIP_CONSTRAINT PIP_REQUIREMENT
# A file server may be slow, or refuse once.
export PIP_RETRIES = 10
export PIP_DEFAULT_TIMEOUT = 60

.DEFAULT_GOAL := help
.PHONY: help setup run test check format lock docs generate integration bench torture clean

help: ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## make .venv with everything in it; nothing to do when it is current

$(VENV)/.dependencies: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tierbroker needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) cannot make a virtual environment: install its venv package (on Debian: python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# The project's entry points (console script, pytest plugin) are made by this step. Compiled here,
# the first start is a fast one, also where PYTHONDONTWRITEBYTECODE is set.
$(VENV)/.installed: $(VENV)/.dependencies pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q tierbroker
	@touch $@

run: setup ## start a broker on 127.0.0.1:9092 with its data in ./data
	@exec $(BIN)/tierbroker dev --data $(DATA) --port $(PORT)

test: setup ## all tests that need no other server
	$(BIN)/python -m pytest tests

check: setup ## format, lint, types, import rules, generated code, unit tests
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tools.generate --check
	$(BIN)/python -m tools.docs --check
	$(BIN)/python -m pytest tests/unit tests/meta -q

format: setup ## format the code and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

generate: setup ## write the generated message codecs anew
	$(BIN)/python -m tools.generate

docs: setup ## write docs/apis.md, configs.md and metrics.md anew
	$(BIN)/python -m tools.docs

# uv resolves for every platform and Python at once; it lives outside .venv, where nothing else needs it.
lock: ## resolve pyproject.toml anew into requirements/dev.txt
	@test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet --disable-pip-version-check uv; }
	env -u UV_FIND_LINKS -u UV_INDEX build/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		--group dev pyproject.toml --output-file build/lock/dev.txt
	@{ echo "# Everything that development, the checks and the tests need: exact versions with the hashes of their files."; \
	   echo "# Written by \`make lock\` from pyproject.toml; do not edit."; cat build/lock/dev.txt; } > requirements/dev.txt

# Apache Kafka's own tools, by artefact name, once; offline when Maven already has them.
$(JARS)/.installed: integration/java/pom.xml
	@rm -rf $(JARS)
	@copy="dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(JARS)"; \
		$(MVN) -q -B -o -f $< $$copy >/dev/null 2>&1 || $(MVN) -q -B -f $< $$copy || \
		{ sleep 15; $(MVN) -q -B -U -f $< $$copy; } || { sleep 60; $(MVN) -q -B -U -f $< $$copy; }
	@touch $@

# kafka-python's own tests come with its source distribution alone: the one of the locked version,
# whose hash the lock file has beside that of the wheel. Nothing of it is installed.
$(SUITE)/.fetched: requirements/dev.txt
	@rm -rf $(SUITE) && mkdir $(SUITE)
	@sed -n '/^kafka-python==/,/[^\\]$$/p' $< > $(SUITE)/requirements.txt
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary kafka-python \
		--require-hashes -r $(SUITE)/requirements.txt --dest $(SUITE)
	@touch $@

integration: setup $(JARS)/.installed $(SUITE)/.fetched ## stock clients and Apache Kafka's tools against a real broker process
	@$(BIN)/python -m integration.object_stores
	$(BIN)/python -m pytest integration

torture: setup ## 100,000 seeds of the simulation, 500 kills and 1,000 power cuts under load, 1,000 faults of each kind in the store
	SIM_SEEDS=$${SIM_SEEDS:-100000} $(BIN)/python -m pytest tests/sim/test_single_broker.py --timeout=36000
	@$(BIN)/python -m integration.object_stores
	TORTURE_ROUNDS=$${TORTURE_ROUNDS:-500} POWER_CUT_ROUNDS=$${POWER_CUT_ROUNDS:-1000} TIER_FAULT_ROUNDS=$${TIER_FAULT_ROUNDS:-1000} \
		$(BIN)/python -m pytest integration -m torture --timeout=36000 -s

bench: setup $(JARS)/.installed ## race Apache Kafka, row by row, in less than ten minutes; kept in build/bench.json
	$(BIN)/python -m bench --keep build/bench.json

clean: ## remove everything that the other targets made, except ./data
	rm -rf $(VENV) $(JARS) $(SUITE) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
