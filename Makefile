# `make demo` and `make test` are all that a newcomer needs; both set up the environment first.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	$$python -c 'import sys; raise SystemExit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null \
	&& { echo $$python; break; }; done)
READY := $(VENV)/.ready
CHARTS ?= 1000000
MUTANTS ?= 100000
EXAMPLES ?= 1500
ROUNDS ?= 50
MINUTES ?= 3
# Tests wait for processes and browsers as often as they work: one more than cores of a small machine.
TESTERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help proof demo test check bench fuzz million soak faults hosts noise-table validate-fhir artefacts snapshots pictures lock clean

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

demo: $(READY) ## play synthetic patients into a record, open their board on loopback, show a card (ONCE=1: show it and leave; PORT=8700)
	@$(BIN)/exowatch demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

test: $(READY) ## run every test
	$(BIN)/python -m pytest -n $(TESTERS) -q

check: $(READY) ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## ratios to orjson, growth, memory; what recording costs; the service under load; intake; a board's list; back-tests; whole exports
	$(BIN)/python -m benchmarks.evaluate
	$(BIN)/python -m benchmarks.record
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.intake
	$(BIN)/python -m benchmarks.board
	$(BIN)/python -m benchmarks.backtest
	$(BIN)/python -m benchmarks.screening

noise-table: $(READY) ## the table of false alarms in docs/trials.md, drawn anew
	$(BIN)/python -m tools.noise_table

fuzz: $(READY) ## mutants of requests and of laboratory files, Schemathesis over the whole service (MUTANTS=100000 EXAMPLES=1500)
	$(BIN)/python -m tests.service.fuzz --mutants $(MUTANTS)
	$(BIN)/python -m tests.service.fuzz_api --examples $(EXAMPLES)
	$(BIN)/python -m tests.intake.fuzz

million: $(READY) ## engine = oracle = reference on random charts (CHARTS=1000000)
	$(BIN)/python -m tests.reference.campaign --charts $(CHARTS)

soak: $(READY) ## eight threads and many evaluations: nothing lost, memory flat
	$(BIN)/python -m tests.faults.soak

faults: $(READY) ## kill the service and the database at random moments under load (ROUNDS=50)
	$(BIN)/python -m tests.record.crash --rounds $(ROUNDS)

hosts: $(READY) ## three hosts behind nginx, lost, stopped and restarted under load (MINUTES=3; needs nginx and PostgreSQL)
	$(BIN)/python -m tests.hosts.campaign --minutes $(MINUTES)

validate-fhir: $(READY) ## HAPI's instance validator over everything emitted, snapshots, examples good and bad (needs Java 17 and Maven)
	rm -rf build/fhir
	$(BIN)/python -m tests.publish.examples build/fhir
	cd tools/validate-fhir && mvn -q -B compile exec:java -Dexec.args="$(CURDIR)/fhir $(CURDIR)/build/fhir"

proof: $(READY) ## docs/proof.md, anew from the rules and the tests beside them
	$(BIN)/python -m tools.proof

artefacts: $(READY) ## value sets, concept maps, examples of output schemas for editors and docs/codes.md and the index of docs/lint, anew from rules and code
	$(BIN)/python -m tools.artefacts
	$(BIN)/python -m tools.schemas
	$(BIN)/python -m tools.lint_pages
	$(BIN)/python -m tools.code_tables

snapshots: ## the snapshots of the profiles, anew from their differentials (needs Java 17 and Maven)
	cd tools/validate-fhir && mvn -q -B compile exec:java -Dexec.mainClass=Snapshots -Dexec.args="$(CURDIR)/fhir/profiles"

pictures: $(READY) ## the pictures of the board in docs/board, anew from its tests in a browser (needs Chromium)
	BOARD_PICTURES=docs/board $(BIN)/python -m pytest -q tests/pages/test_board_browser.py -k "wide or chair"

lock: $(READY) ## resolve the dependencies anew
	$(BIN)/python tools/lock.py

clean: ## forget the environment and what was generated
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): requirements.lock requirements-build.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Exowatch needs Python 3.11 or 3.12: its rule engine, durable_rules, cannot be imported on 3.13 and later."; \
		echo "Found: $$(python3 --version 2>&1 || echo no python3). Next step: install one of the two, or name it: make PYTHON=/path/to/python3.12 test"; \
		exit 1; fi
	@if ! command -v cc >/dev/null && ! command -v gcc >/dev/null; then \
		echo "Exowatch needs a C compiler: durable_rules is built from source, there are no wheels of it."; \
		echo "Next step: install one (Debian: apt-get install gcc)"; exit 1; fi
	@if ! $(PYTHON) -c 'import sysconfig, pathlib, sys; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'; then \
		echo "Exowatch needs the headers of $(PYTHON) (Python.h): durable_rules is built from source."; \
		echo "Next step: install them (Debian: apt-get install python3-dev)"; exit 1; fi
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-build.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-build-isolation -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
