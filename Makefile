# Everything a newcomer needs: make demo, make test. Everything else is `meta-ads --help`.
VENV   ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN    := $(VENV)/bin
UV     := uv==0.13.8
STAMP  := $(VENV)/.installed
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet

# Every command imports some two thousand modules: without their compiled form, 10 s a start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo dev docs test coverage lint check-lock format lock bench clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## install everything into .venv from requirements.lock

# uv installs the same locked, hash-checked files as pip in a tenth of the time; pip stands in
# where uv cannot reach the index (it does not read pip's configuration). INSTALLER=pip skips uv.
# --no-deps: the lock is complete, and older pips refuse an extra of a package that it pins.
INSTALLER ?= uv
PIP        = $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALL_pip = $(PIP) --require-hashes --no-deps -r requirements.lock
INSTALL_uv = { $(PIP) $(UV) && \
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock; } \
	|| $(INSTALL_pip)
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL_$(INSTALLER))
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## two weeks of three generated accounts, reconciled, in a few minutes
	$(BIN)/meta-ads demo

dev: setup ## Postgres, simulator (without credentials), Dagster UI and daemon; Ctrl-C stops all
	$(BIN)/meta-ads up

# One file, without a server: the lineage, the columns of the marts as built, their descriptions.
DOCS := dbt_project/target/static_index.html
docs: setup ## dbt's documentation of models, columns and lineage as one HTML file
	$(BIN)/meta-ads exec dbt docs generate --static --quiet
	@echo "$(DOCS)"

# Three processes on two cores, for some of the time is waiting; a file stays in one of them. Without
# options (`pytest tests/test_sync.py`) there is one process.
PARALLEL ?= -n 3 --dist loadfile --no-loadscope-reorder
test: setup ## the whole suite
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

coverage: setup ## the whole suite, and which lines it does not reach; takes half as long again
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered $(ARGS)

# sqlfluff pins an older click than the project's: it lives in an environment of its own.
SQLFLUFF := .venv-sqlfluff
$(SQLFLUFF)/.installed: requirements-sqlfluff.lock
	$(PYTHON) -m venv $(SQLFLUFF)
	$(SQLFLUFF)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

lint: setup $(SQLFLUFF)/.installed ## ruff, mypy, sqlfluff, dagster and dbt validation, lock file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(SQLFLUFF)/bin/sqlfluff lint --processes 2 dbt_project/models dbt_project/tests
	$(SQLFLUFF)/bin/sqlfluff lint --templater placeholder meta_ads_pipeline
	$(BIN)/dbt parse --quiet --no-partial-parse --project-dir dbt_project --profiles-dir dbt_project
	$(BIN)/meta-ads exec dagster definitions validate -w workspace.yaml --log-level warning
	$(MAKE) check-lock

check-lock: setup ## requirements.lock is what pyproject.toml resolves to
	cp requirements.lock $(VENV)/requirements.lock
	$(BIN)/uv pip compile pyproject.toml $(LOCK_OPTIONS) --extra dev --output-file $(VENV)/requirements.lock
	diff -q requirements.lock $(VENV)/requirements.lock || (echo "run make lock and commit"; exit 1)

format: setup ## let ruff and sqlfluff rewrite what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(SQLFLUFF)/bin/sqlfluff fix --processes 2 dbt_project/models dbt_project/tests

lock: ## resolve pyproject.toml into requirements.lock
	$(BIN)/uv pip compile pyproject.toml $(LOCK_OPTIONS) --extra dev --output-file requirements.lock
	echo "sqlfluff>=3.4,<5" | $(BIN)/uv pip compile - $(LOCK_OPTIONS) \
	  --output-file requirements-sqlfluff.lock

bench: setup ## speed and memory, as ratios within one run
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove environments and the embedded database
	rm -rf $(VENV) $(SQLFLUFF) .meta_ads dbt_project/target dbt_project/logs
