# Everything a newcomer or CI needs. `make` lists the targets; each builds .venv first if need be.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
FUZZ_SECONDS ?= 90
# full or short, which by words of their names (all if empty), and how long a soak is
LENGTH ?= full
FAULTS ?=
SOAK_MINUTES ?= 30
REPORTS := build
PAGE := market_pipeline/api/page
CHARTS := $(PAGE)/vendor/lightweight-charts.js
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

# One that is given as in `make demo BROKER=fyers`; the pipeline's own setting of that name is another.
CHOSEN_BROKER = $(if $(findstring command,$(origin BROKER)),--broker $(BROKER))

.PHONY: help demo page test slow timescale lint format bench faults soak fuzz clean

help: ## List the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-9s %s\n' "$$name" "$$text"; done

demo: $(INSTALLED) ## Run everything against a simulated exchange (BROKER=fyers: with Fyers' protocols; kite,fyers: both)
	@command -v npm >/dev/null && $(MAKE) --no-print-directory page || echo "The live page goes without its chart."
	$(BIN)/market-pipeline demo $(CHOSEN_BROKER)

page: $(CHARTS) ## Get the chart library of the live page from npm; needs Node.js 18 or newer

test: lint ## Check formatting, lint, types and behaviour: green or red
	$(BIN)/python -m pytest -n 2 -m "not slow"

slow: $(INSTALLED) ## Run the tests that take long: what is killed and started again, a deploy, the vendor's own socket
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

timescale: $(INSTALLED) ## Run the integration tests on TimescaleDB in WebAssembly
	$(BIN)/python -m pytest -n 2 market_pipeline_tests/integration --timescale

lint: $(INSTALLED) ## Check formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## Measure throughput and lag on this machine
	$(BIN)/python -m market_pipeline_tests.bench
	$(BIN)/python -m market_pipeline_tests.bench_api
	$(BIN)/python -m market_pipeline_tests.bench_panels
	$(BIN)/python -m market_pipeline_tests.bench_archive
	$(BIN)/python -m market_pipeline_tests.bench_retention

faults: $(INSTALLED) ## Break everything for real and count every packet (LENGTH=short: briefly)
	$(BIN)/python -m pytest -p no:randomly market_pipeline_tests/faults $(CHOSEN_BROKER) \
		$(if $(filter full,$(LENGTH)),--full,-n 2 --dist loadgroup) $(if $(FAULTS),-k "$(FAULTS)") \
		--table $(REPORTS)/faults.md

soak: $(INSTALLED) ## Break something every 20 seconds for SOAK_MINUTES and count every packet
	$(BIN)/python -m market_pipeline_tests.faults.soak --minutes $(SOAK_MINUTES) --table $(REPORTS)/soak.md

fuzz: $(INSTALLED) ## Fuzz the decoders and the journal reader
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m market_pipeline_tests.fuzz decoder --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m market_pipeline_tests.fuzz fyers --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m market_pipeline_tests.fuzz journal --seconds $(FUZZ_SECONDS)

clean: ## Remove .venv, caches and the chart library
	rm -rf $(VENV) $(PAGE)/vendor .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build market_pipeline_tests/timescale/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for candidate in $(CANDIDATES); do \
		if "$$candidate" -c '$(SUPPORTED)' 2>/dev/null; then \
			echo "Creating $(VENV) with $$candidate"; "$$candidate" -m venv $(VENV); exit 0; fi; \
	done; \
	echo "Python 3.11, 3.12 or 3.13 is needed; none of these is: $(CANDIDATES)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1

# Installed again only when what is to be installed has changed. Fyers' SDK comes without what it
# asks for, which are old versions with known vulnerabilities; see the extra fyers in pyproject.toml.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[kite,fyers,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps fyers-apiv3
	@touch $@

# The library is one file that needs nothing else; its licence goes with it.
$(CHARTS): $(PAGE)/package.json $(PAGE)/package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed, which comes with Node.js 18 or newer." >&2; exit 1; }
	@mkdir -p build/page $(@D)
	cp $^ build/page/
	npm ci --prefix build/page --ignore-scripts --no-audit --no-fund
	cp build/page/node_modules/lightweight-charts/LICENSE $(@D)/LICENSE
	cp build/page/node_modules/lightweight-charts/dist/lightweight-charts.standalone.production.mjs $@
