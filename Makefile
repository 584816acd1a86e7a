# Two commands do nearly everything: make build, make test. make alone lists the others.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Python that creates .venv; 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

# A setting given to make reaches the scripts and dbt as PARLEY_<name>, to the letter.
SETTINGS := LANDING WAREHOUSE PUBLISHED AS_OF SALT KEEP FRESH PERSON OUT BEFORE DAYS POSTGRES POSTGRES_SCHEMA CATALOG LAKE MEMORY_LIMIT SPILL SIZE BENCH
define export_setting
ifeq ($$(origin $(1)),command line)
export PARLEY_$(1) = $$(value $(1))
endif
endef
$(foreach setting,$(SETTINGS),$(eval $(call export_setting,$(setting))))

# What sqlfluff looks at; git keeps no empty directory.
SQL := $(wildcard models tests/data)

# Files of tests, two at a time, in their order: the fast ones first (tests/python/conftest.py).
TWO_FILES_AT_ONCE := --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Tests look at this repository and its demo, at nobody's own data.
DEMO_ONLY := env $(SETTINGS:%=-u PARLEY_%)

.PHONY: help install build status quality test test-spark lint format load erase subject-access prune
.PHONY: publish-postgres ducklake bench bench-spark docs lock audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Settings, as in make build LANDING=<dir>: $(SETTINGS); see docs/operate.md."

install: ## install the locked dependencies into .venv
	@$(PYTHON) scripts/install.py

build: install ## load, build, test and publish the demo, or your exports with LANDING=<dir>
	@$(BIN)/python scripts/build.py

status: install ## say what is published, how fresh it is, what was rejected, what is pending
	@$(BIN)/python scripts/status.py

test: install ## run everything CI runs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(DEMO_ONLY) PARLEY_PUBLISHED=target/test/published $(BIN)/python scripts/build.py --unit-tests
	@$(DEMO_ONLY) $(BIN)/sqlfluff lint $(SQL)
	@$(DEMO_ONLY) $(BIN)/python -m pytest $(TWO_FILES_AT_ONCE)
	@$(MAKE) --no-print-directory test-spark

test-spark: install ## install Spark into .venv-spark and compare it with DuckDB
	@$(PYTHON) scripts/install.py --spark
	@$(DEMO_ONLY) .venv-spark/bin/python -m pytest tests/spark

lint: install ## check style and types only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint $(SQL)

format: install ## bring Python and SQL into the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/sqlfluff fix $(SQL)

load: install ## only load what landed, see docs/load.md
	@$(BIN)/python scripts/load.py

quality: install ## only check the newest load and the marts as they are, see docs/operate.md
	@$(BIN)/python scripts/quality.py

erase: install ## erase PERSON=<contact id, visitor id, e-mail or phone>, see docs/privacy.md
	@$(BIN)/python scripts/erase.py

subject-access: install ## write all that is held about PERSON=<...> to the directory OUT=<dir>
	@$(BIN)/python scripts/subject_access.py

prune: install ## remove what landed and is older than BEFORE=<date> or DAYS=<n>
	@$(BIN)/python scripts/prune.py

bench: install ## measure builds of SIZE=1m|10m|100m generated messages, see docs/benchmarks.md
	@$(BIN)/python benchmarks/bench.py

bench-spark: install ## measure builds of SIZE=100k|1m generated messages on Spark beside DuckDB
	@$(PYTHON) scripts/install.py --spark
	@$(BIN)/python benchmarks/bench_spark.py

docs: install ## write dbt's documentation to target/
	@$(BIN)/dbt docs generate

publish-postgres: install ## copy the published release into PostgreSQL, see docs/operate.md
	@$(BIN)/python scripts/publish_postgres.py

ducklake: install ## build the models into a lake with a PostgreSQL catalogue, see docs/ducklake.md
	@$(BIN)/dbt build --target ducklake --exclude-resource-type unit_test

lock: install ## resolve requirements.in and requirements-spark.in again
	@for group in requirements requirements-spark; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url $$group.in -o $$group.lock; done

audit: install ## look at the locked dependencies: needed, hashed, without known vulnerabilities
	@$(BIN)/python scripts/audit.py

clean: ## remove what dbt and the checks wrote; the warehouse and the releases stay
	@rm -rf target logs .mypy_cache .pytest_cache .ruff_cache .hypothesis
