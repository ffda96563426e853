# Every target does its own set-up, in .venv. PYTHON names another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
READERS := $(VENV)/.readers
WORKERS ?= 4

.PHONY: help demo test unit check format bench bench-proxy gsm8k leaks soak clean-venv

help:
	@echo "make demo    run the quickstart: killed half-way, resumed, shown (no API key)"
	@echo "make test    all tests; those that need a Docker Engine say so where there is none"
	@echo "make unit    tests that need no container and no network"
	@echo "make check   format, lint, types, import layers"
	@echo "make bench   cases/s in containers, large runs and inputs, durability: each against a reference"
	@echo "make bench-proxy  what the proxy costs, against a bare relay and LiteLLM (ARGS=...)"
	@echo "make leaks   1,000 cases in containers: what stays behind of them (ARGS=...)"
	@echo "make soak    200 kills of harness, sidecar, holders, agents, dockerd, and what must hold (ARGS=...)"
	@echo "make gsm8k   all of GSM8K (DATA=test.jsonl) against a provider that keeps books"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("PacaBench needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(STAMP)

# Never fails: tests that need it say that it is not there.
$(READERS): $(STAMP)
	@timeout 300 $(BIN)/python -m pip install --quiet --group readers && touch $@ \
	    || echo "Inspect's own reader cannot be installed: the tests that need it are skipped"

demo: $(STAMP)
	@images/prepare-machine
	@examples/demo $(abspath $(BIN))

test: $(STAMP) $(READERS)
	@images/prepare-machine
	@# The images first, so that no test's time limit pays for them.
	@if docker version >/dev/null 2>&1; then \
	    $(BIN)/pacabench images build -c examples/quickstart/pacabench.yaml; \
	else echo "no Docker Engine answers: tests that need one are skipped"; fi
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

unit: $(STAMP)
	$(BIN)/pytest -n $(WORKERS) tests/unit tests/contract

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@find pacabench -name '*.py' -exec awk 'FNR == 401 { print FILENAME ": more than 400 lines"; found = 1 } END { exit found }' {} +

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	@images/prepare-machine
	$(BIN)/python benchmarks/docker_overhead.py
	$(BIN)/python benchmarks/hardening_cost.py
	$(BIN)/python benchmarks/large_run.py
	$(BIN)/python benchmarks/large_inputs.py
	$(BIN)/python benchmarks/group_commit.py

bench-proxy: $(STAMP)
	$(BIN)/python benchmarks/proxy_overhead.py $(ARGS)

leaks: $(STAMP)
	@images/prepare-machine
	$(BIN)/python benchmarks/leaks.py $(ARGS)

gsm8k: $(STAMP)
	@images/prepare-machine
	$(BIN)/python tests/support/gsm8k.py $(or $(DATA),../shared/data/gsm8k/test.jsonl) $(ARGS)

soak: $(STAMP)
	@images/prepare-machine
	PYTHONPATH=tests $(BIN)/python -m faults.soak $(ARGS)

clean-venv:
	rm -rf $(VENV)
