# The only entry point for people and CI. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
STATE := .state
MAIN := .venv/bin
WORKERS := .venv-workers/bin
LOCKS := deploy/locks
PIP := -m pip --disable-pip-version-check --quiet
EDITABLE := install --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
SOURCES := cohortlens gateway workers sidecars
T ?=
export PYTHONPATH :=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

## ---- set-up: once per change of its inputs ----

.PHONY: setup
setup: $(STATE)/main $(STATE)/workers $(STATE)/node ## Make the two environments from their lock files

.PHONY: setup-dev
setup-dev: setup $(STATE)/dev $(STATE)/workers-dev $(STATE)/oip $(STATE)/oauth $(STATE)/oauth-node $(STATE)/interop-node $(STATE)/openapi-node $(STATE)/schemathesis $(STATE)/credentials-node $(STATE)/client-types $(STATE)/client-wheels $(STATE)/pgbouncer $(STATE)/chromium ## The same with the tools of development

$(STATE)/python:
	@mkdir -p $(STATE)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:3]; v[:2] == (3, 11) or sys.exit("error PYTHON_VERSION: found %d.%d.%d, need 3.11\nnext: install python3.11, or make run PYTHON=/path/to/python3.11" % v)'
	@touch $@

$(STATE)/main: $(LOCKS)/main.lock pyproject.toml | $(STATE)/python
	@echo "setup: main environment (.venv)"
	@test -x $(MAIN)/python || $(PYTHON) -m venv .venv
	@$(MAIN)/python $(PIP) install --no-deps --requirement $(LOCKS)/main.lock
	@$(MAIN)/python $(PIP) $(EDITABLE)
	@touch $@

$(STATE)/workers: $(LOCKS)/workers.lock pyproject.toml | $(STATE)/python
	@echo "setup: workers' environment (.venv-workers)"
	@test -x $(WORKERS)/python || $(PYTHON) -m venv .venv-workers
	@$(WORKERS)/python $(PIP) install --no-deps --requirement $(LOCKS)/workers.lock
	@$(WORKERS)/python $(PIP) $(EDITABLE)
	@touch $@

$(STATE)/dev: $(LOCKS)/dev.lock $(LOCKS)/otel.lock $(STATE)/main
	@echo "setup: tools of development"
	@$(MAIN)/python $(PIP) install --no-deps --requirement $(LOCKS)/dev.lock --requirement $(LOCKS)/otel.lock
	@$(MAIN)/python $(PIP) check
	@touch $@

$(STATE)/workers-dev: $(LOCKS)/workers-dev.lock $(STATE)/workers
	@$(WORKERS)/python $(PIP) install --no-deps --requirement $(LOCKS)/workers-dev.lock
	@$(WORKERS)/python $(PIP) check
	@touch $@

$(STATE)/oip: $(LOCKS)/oip-clients.lock | $(STATE)/python
	@echo "setup: Triton's clients, which the tests run (.venv-oip)"
	@test -x .venv-oip/bin/python || $(PYTHON) -m venv .venv-oip
	@.venv-oip/bin/python $(PIP) install --no-deps --requirement $<
	@.venv-oip/bin/python $(PIP) check
	@touch $@

$(STATE)/client-types: $(LOCKS)/client-types.lock | $(STATE)/python
	@echo "setup: generator of the client's types (.venv-client)"
	@test -x .venv-client/bin/python || $(PYTHON) -m venv .venv-client
	@.venv-client/bin/python $(PIP) install --no-deps --requirement $<
	@.venv-client/bin/python $(PIP) check
	@touch $@

# What a program needs to run the client, as files: a test installs it from them without a network.
$(STATE)/client-wheels: $(LOCKS)/client.lock | $(STATE)/main
	@echo "setup: packages of the client"
	@rm -rf $@ && $(MAIN)/python $(PIP) download --no-deps --requirement $< --dest $@
	@touch $@

$(STATE)/pgbouncer: | $(STATE)/python
	@command -v pgbouncer > /dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  echo "setup: PgBouncer, behind which the tests connect"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends pgbouncer > /dev/null; \
	  else echo "PgBouncer is missing, its tests will say NOT CHECKED; next: apt-get install -y pgbouncer" >&2; fi
	@touch $@

$(STATE)/chromium: | $(STATE)/python
	@command -v chromium > /dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  echo "setup: Chromium, which the tests open pages with"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium > /dev/null; \
	  else echo "Chromium is missing, its tests will say NOT CHECKED; next: apt-get install -y chromium" >&2; fi
	@touch $@

$(STATE)/oauth: $(LOCKS)/oauth-clients.lock | $(STATE)/python
	@echo "setup: OAuth clients of Python, which the tests run (.venv-oauth)"
	@test -x .venv-oauth/bin/python || $(PYTHON) -m venv .venv-oauth
	@.venv-oauth/bin/python $(PIP) install --no-deps --requirement $<
	@.venv-oauth/bin/python $(PIP) check
	@touch $@

OAUTH_NODE := tests/e2e/oauth/clients
$(STATE)/oauth-node: $(OAUTH_NODE)/package.json $(OAUTH_NODE)/package-lock.json
	@mkdir -p $(STATE)
	@if command -v npm > /dev/null; then echo "setup: the OAuth client of npm, which the tests run"; \
	  npm ci --prefix $(OAUTH_NODE) --ignore-scripts --no-audit --no-fund --silent; \
	  else echo "not checked: npm openid-client; next: apt-get install -y nodejs npm && make setup-dev" >&2; fi
	@if command -v npm > /dev/null; then touch $@; fi

INTEROP_NODE := tests/e2e/interop/clients
$(STATE)/interop-node: $(INTEROP_NODE)/package.json $(INTEROP_NODE)/package-lock.json
	@mkdir -p $(STATE)
	@if command -v npm > /dev/null; then echo "setup: clients of gRPC, gRPC-Web and Connect of npm, which the tests call with"; \
	  npm ci --prefix $(INTEROP_NODE) --ignore-scripts --no-audit --no-fund --silent; \
	  else echo "not checked: npm @connectrpc/connect-node; next: apt-get install -y nodejs npm && make setup-dev" >&2; fi
	@if command -v npm > /dev/null; then touch $@; fi

OPENAPI_NODE := tests/e2e/openapi/node
$(STATE)/openapi-node: $(OPENAPI_NODE)/package.json $(OPENAPI_NODE)/package-lock.json
	@mkdir -p $(STATE)
	@if command -v npm > /dev/null; then echo "setup: linter and TypeScript for the OpenAPI document, of npm"; \
	  npm ci --prefix $(OPENAPI_NODE) --ignore-scripts --no-audit --no-fund --silent; \
	  else echo "not checked: npm @redocly/cli; next: apt-get install -y nodejs npm && make setup-dev" >&2; fi
	@if command -v npm > /dev/null; then touch $@; fi

$(STATE)/schemathesis: $(LOCKS)/schemathesis.lock | $(STATE)/python
	@echo "setup: schemathesis, which the tests call the API with (.venv-schemathesis)"
	@test -x .venv-schemathesis/bin/python || $(PYTHON) -m venv .venv-schemathesis
	@.venv-schemathesis/bin/python $(PIP) install --no-deps --requirement $<
	@.venv-schemathesis/bin/python $(PIP) check
	@touch $@

CREDENTIALS_NODE := tests/integration/sidecars/credentials/node
$(STATE)/credentials-node: $(CREDENTIALS_NODE)/package.json $(CREDENTIALS_NODE)/package-lock.json
	@mkdir -p $(STATE)
	@if command -v npm > /dev/null; then echo "setup: the credential libraries of npm, which the tests exchange with"; \
	  npm ci --prefix $(CREDENTIALS_NODE) --ignore-scripts --no-audit --no-fund --silent; touch $@; \
	  else echo "not checked: npm @digitalbazaar/vc; next: apt-get install -y nodejs npm && make setup-dev" >&2; fi

# The binary of a local EVM chain and JSON-LD contexts; without npm the sidecar names what it lacks and goes on.
NODE := deploy/node
$(STATE)/node: $(NODE)/package.json $(NODE)/package-lock.json | $(STATE)/python
	@if command -v npm > /dev/null; then echo "setup: anvil and JSON-LD contexts of npm"; \
	  npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --silent; touch $@; \
	  else echo "npm is missing: the EVM chain is simulated in the sidecar; next: apt-get install -y npm && make setup" >&2; fi

## ---- run ----

.PHONY: run
run: setup ## Start everything on this machine and show a first prediction; Ctrl-C stops it
	@$(MAIN)/cohortlens up

.PHONY: migrate
migrate: setup ## Bring the database to the newest revision
	@$(MAIN)/cohortlens migrate

.PHONY: seed
seed: setup ## Register the demo tenant and load its data into a running stack
	@$(MAIN)/cohortlens seed

.PHONY: train
train: setup ## Train the demo tenant's models on a running stack
	@$(MAIN)/cohortlens train

## ---- check ----

PYTEST := $(MAIN)/python -m pytest
PYTEST_WORKERS := $(WORKERS)/python -m pytest

.PHONY: test
test: test-arch test-unit test-ports test-integration test-e2e ## Every layer of tests, in order

.PHONY: test-arch
test-arch: setup-dev
	$(PYTEST) $(or $(T),tests/architecture)

.PHONY: test-unit
test-unit: setup-dev ## Unit tests, both environments; T=path for one file
	$(PYTEST) $(or $(T),tests/unit --ignore=tests/unit/workers)
	$(if $(T),,$(PYTEST_WORKERS) tests/unit/workers)

.PHONY: test-ports
test-ports: setup-dev
	$(PYTEST) $(or $(T),tests/ports)

.PHONY: test-integration
test-integration: setup-dev ## Against real PostgreSQL, Valkey and one Serve replica; T=path for one file
	$(PYTEST) $(or $(T),tests/integration --ignore=tests/integration/workers)
	$(if $(T),,$(PYTEST_WORKERS) tests/integration/workers)

.PHONY: test-e2e
test-e2e: setup-dev ## The whole stack over the network; T=path for one file
	$(PYTEST) $(or $(T),tests/e2e)

.PHONY: vectors
vectors: setup-dev ## Compute others' results again: DIR=folder of vector files, DATA=folder of the data they name
	@$(MAIN)/python -m tests.vectors $(if $(DIR),"$(DIR)") $(if $(DATA),--data "$(DATA)")

CONTRACTS := sidecars/web3/rewards/contracts
$(STATE)/solc: $(CONTRACTS)/package.json $(CONTRACTS)/package-lock.json
	@mkdir -p $(STATE)
	@if command -v npm > /dev/null; then echo "setup: the compiler of the reward token"; \
	  npm ci --prefix $(CONTRACTS) --ignore-scripts --no-audit --no-fund --silent && touch $@; \
	  else echo "not checked: solc; next: apt-get install -y nodejs npm && make contract-check" >&2; fi

.PHONY: contract-check
contract-check: $(STATE)/solc ## Compile the reward token again: the committed bytecode must come out, byte for byte
	@if [ -e $(STATE)/solc ]; then node $(CONTRACTS)/compile.mjs --check; fi

.PHONY: lint
lint: setup-dev ## ruff, buf lint, buf breaking
	$(MAIN)/ruff format --check .
	$(MAIN)/ruff check .
	$(MAIN)/buf lint cohortlens/descriptors.binpb --config protos/buf.yaml
	$(MAIN)/buf breaking cohortlens/descriptors.binpb --against protos/released.binpb --config protos/buf.yaml

.PHONY: format
format: setup-dev ## Format the code; refresh .env.example and the settings reference
	$(MAIN)/ruff format .
	$(MAIN)/ruff check --fix .
	$(MAIN)/python -m docs.generate

.PHONY: graphql-schema
graphql-schema: setup-dev ## Write docs/reference/schema.graphql, and what else is generated from the code
	$(MAIN)/python -m docs.generate

.PHONY: types
types: setup-dev ## mypy strict, each environment with its own packages
	$(MAIN)/mypy cohortlens gateway sidecars load docs
	$(MAIN)/mypy --python-executable $(WORKERS)/python --cache-dir .mypy_cache/workers workers protos/generate.py

.PHONY: arch
arch: setup-dev protos-check ## Import contracts and the checks of the tree itself
	$(MAIN)/lint-imports --no-cache
	$(PYTEST) tests/architecture

.PHONY: protos
protos: setup-dev ## Generate stubs and the descriptor image
	$(WORKERS)/python protos/generate.py .

.PHONY: protos-check
protos-check: setup-dev ## Fail when the committed stubs differ from the protos
	@rm -rf $(STATE)/protos && mkdir -p $(STATE)/protos
	@$(WORKERS)/python protos/generate.py $(STATE)/protos
	@cd $(STATE)/protos && find . -type f -print0 | while IFS= read -r -d '' file; do \
	  cmp -s "$$file" "../../$$file" || { echo "stale: $$file; next: make protos"; exit 1; }; done

.PHONY: openapi
openapi: setup-dev ## Write docs/reference/openapi.json, and all else that is generated from the code
	$(MAIN)/python -m docs.generate

.PHONY: openapi-check
openapi-check: setup-dev ## The committed OpenAPI document is current, passes the linter, and compiles in TypeScript
	$(PYTEST) tests/architecture/test_generated.py tests/unit/gateway/http/test_openapi.py tests/e2e/openapi/test_document.py

.PHONY: schemathesis
schemathesis: setup-dev ## Every check of schemathesis over every operation, on a stack of its own; SCHEMATHESIS_EXAMPLES=20
	$(PYTEST) tests/e2e/openapi/full_run.py -q -s -p no:cacheprovider

.PHONY: docs
docs: setup-dev ## The documentation site, warnings are errors
	$(MAIN)/sphinx-build -W --keep-going -n -q -b html docs docs/_build/html

## ---- measure ----

.PHONY: load
load: setup-dev ## Locust smoke against the running local stack
	$(MAIN)/python -m load.smoke

.PHONY: bench-serving
bench-serving: setup-dev $(STATE)/bench-fastapi $(STATE)/bench-kserve $(STATE)/bench-mlserver ## Predict beside the usual servers, against a running stack
	@command -v h2load > /dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update -qq && apt-get install -y -qq nghttp2-client > /dev/null; \
	  else echo "error TOOL_MISSING: h2load; next: apt-get install -y nghttp2-client" >&2; exit 1; fi
	$(MAIN)/python -m load.bench.serving $(ARGS)

.PHONY: bench-faults
bench-faults: setup-dev ## Break a stack of its own under load: RATE=500, ARGS="replica redis-hangs"
	$(MAIN)/python -m load.bench.faults --rate $(or $(RATE),500) $(ARGS)

.PHONY: profile-serving
profile-serving: setup-dev ## Where each microsecond of a Predict goes; ARGS="--door grpc --direct", ARGS=--running
	@command -v h2load > /dev/null || { echo "error TOOL_MISSING: h2load; next: make bench-serving installs it" >&2; exit 1; }
	$(MAIN)/python -m load.bench.profile $(ARGS)

.PHONY: bench-batch
bench-batch: setup-dev ## A million customers scored in one batch, jobs and workers killed on the way; ROWS=n
	$(MAIN)/python -m load.bench.batch $(or $(ROWS),1000000)

.PHONY: bench-import
bench-import: setup-dev ## Import DATA=file into a fresh embedded PostgreSQL and time it
	$(MAIN)/python -m load.bench.importing $(DATA)

.PHONY: cohort-bench
cohort-bench: setup-dev ## How fast cohorts are answered on ORDERS=500000 in PostgreSQL, beside plain SQL
	$(MAIN)/python -m load.bench.cohorts $(ORDERS)

.PHONY: bench-login
bench-login: setup-dev ## What the time of a log-in tells, what parallel guesses cost; SAMPLES=500
	$(MAIN)/python -m load.bench.login $(or $(SAMPLES),500)

.PHONY: bench-audit
bench-audit: setup-dev ## Audit rows a second on one tenant and on 16, beside plain inserts; every chain verified
	$(MAIN)/python -m load.bench.audit

.PHONY: bench-outbox
bench-outbox: setup-dev ## The claim of the outbox on 10,000 open events, beside what it replaced
	$(MAIN)/python -m load.bench.outbox

.PHONY: soak-outbox
soak-outbox: setup-dev ## EVENTS=10000 events through the outbox while producers and jobs are killed at random
	$(MAIN)/python -m load.bench.outbox_soak $(or $(EVENTS),10000)

.PHONY: soak-refresh
soak-refresh: setup-dev ## 200 refreshes of one token at once over four processes, ROUNDS=50 times, and a reuse each time
	$(MAIN)/python -m load.bench.refresh_race $(or $(ROUNDS),50)

.PHONY: soak-limiter
soak-limiter: setup-dev ## The rate limits flooded from four processes, SECONDS=10 a row; what was admitted, and the envelope
	$(MAIN)/python -m load.bench.limiter $(or $(SECONDS),10)

.PHONY: bench-limits
bench-limits: setup-dev ## What quota, rate limit and entitlement cost a call; units granted and usage events stored a second
	$(MAIN)/python -m load.bench.limits

.PHONY: bench-gas
bench-gas: setup-dev ## Gas of the reward token per function and per recipient, on an anvil of its own
	@$(MAIN)/python -m load.bench.gas

.PHONY: bench-consent
bench-consent: setup-dev ## Checks of 10,000 customers, and what the question costs a Predict by id; CUSTOMERS=100000
	@$(MAIN)/python -m load.bench.consent $(CUSTOMERS)

.PHONY: soak-fulfilment
soak-fulfilment: setup-dev ## Consents under 50 random kills, 60 s without a chain, and 20 a second; SOAK_KILLS=5 SOAK_SECONDS=10
	@$(MAIN)/python -m pytest tests/integration/consent/soak_fulfilment.py -q -s -p no:cacheprovider

.PHONY: bench-grants
bench-grants: setup-dev ## GrantConsent 100 times a second on a stack of its own, and what each process takes; ARGS="--rate 50"
	@$(MAIN)/python -m load.bench.grants $(ARGS)

.PHONY: bench-codec
bench-codec: setup-dev ## The JSON codec beside json_format, large bodies, and what is made at start, each with its budget
	@$(MAIN)/python -m load.bench.codec

.PHONY: bench-routing
bench-routing: setup-dev ## What finding a route costs, over all routes of the product and on hostile paths, each with its budget
	@$(MAIN)/python -m load.bench.routing

.PHONY: bench-deadlines
bench-deadlines: setup-dev ## How soon a deadline of 50 ms is answered while the model hangs, by door; CALLS=50
	@$(MAIN)/python -m load.bench.deadlines $(CALLS)

.PHONY: bench-credentials
bench-credentials: setup-dev ## Credentials issued and verified a second, both suites, on a PostgreSQL of its own
	@$(MAIN)/python -m load.bench.credentials

.PHONY: bench-pinning
bench-pinning: setup-dev ## The embedded IPFS store: hashing, adding with fsync, sealing, reading
	$(MAIN)/python -m load.bench.pinning

.PHONY: soak-quota
soak-quota: setup-dev ## 64 workers in four processes race for 1,000 units, one process killed, ROUNDS=100 times
	$(MAIN)/python -m load.bench.quota_soak $(or $(ROUNDS),100)

.PHONY: soak-replica
soak-replica: setup-dev ## A replica's memory over 200,000 requests and 200 model switches
	$(MAIN)/python -m load.bench.soak

## ---- measure the models, on any file of transactions ----

MODEL_BENCH = OMP_NUM_THREADS=1 $(WORKERS)/python -W ignore -m
ON_DATA = --data $(or $(DATA),$(error give the file as DATA=...)) $(if $(CUT),--cut $(CUT)) $(if $(HORIZON),--horizon $(HORIZON)) \
  $(if $(COLUMNS),--columns "$(COLUMNS)") $(if $(JSON),--json $(JSON)) $(if $(SEED),--seed $(SEED)) $(if $(STRICT),--strict)

.PHONY: clv-bench
clv-bench: setup-dev ## The default model beside every other row on DATA=file CUT=YYYY-MM-DD HORIZON=days; MEMBERS= LOSS=rmse|mae CELL=gru
	@$(MODEL_BENCH) workers.bench.clv $(ON_DATA) $(if $(MEMBERS),--members $(MEMBERS)) $(if $(LOSS),--loss $(LOSS)) $(if $(CELL),--cell $(CELL))

.PHONY: segment-bench
segment-bench: setup-dev ## Stability and use of segments for every k, on DATA=file; CUT=YYYY-MM-DD HORIZON=days
	@$(MODEL_BENCH) workers.bench.segments $(ON_DATA)

.PHONY: explain-bench
explain-bench: setup-dev ## How true, stable and fast explanations are, on DATA=file; CUT=YYYY-MM-DD HORIZON=days
	@$(MODEL_BENCH) workers.bench.explain $(ON_DATA)

.PHONY: drift-bench
drift-bench: setup ## False alarms of drift and what is found, on DATA=file; REPS=400 N_REF=900 N_CUR=800
	@OMP_NUM_THREADS=1 $(MAIN)/python -m cohortlens.analytics.driftbench --data $(or $(DATA),$(error give the file as DATA=...)) \
	  $(if $(REPS),--reps $(REPS)) $(if $(N_REF),--n-ref $(N_REF)) $(if $(N_CUR),--n-cur $(N_CUR)) \
	  $(if $(COLUMNS),--columns "$(COLUMNS)") $(if $(JSON),--json "$(JSON)") $(if $(SEED),--seed $(SEED)) $(if $(STRICT),--strict)

.PHONY: clv-published
clv-published: setup ## Published results of the purchase models, found again from the raw rows
	@$(MODEL_BENCH) workers.bench.published $(if $(DATA),--data "$(DATA)") $(if $(JSON),--json "$(JSON)")

.PHONY: bench-btyd
bench-btyd: setup $(STATE)/bench-lifetimes ## Fits and lifetime values of CUSTOMERS=100000 beside the lifetimes package, in one run
	@$(MODEL_BENCH) workers.bench.btyd --reference .venv-bench-lifetimes/bin/python $(if $(CUSTOMERS),--customers $(CUSTOMERS)) $(if $(JSON),--json "$(JSON)") $(if $(STRICT),--strict)

$(STATE)/bench-%: $(LOCKS)/bench-%.lock | $(STATE)/python
	@echo "setup: the reference environment $* (.venv-bench-$*)"
	@test -x .venv-bench-$*/bin/python || $(PYTHON) -m venv .venv-bench-$*
	@.venv-bench-$*/bin/python $(PIP) install --no-deps --requirement $<
	@touch $@

## ---- clean ----

.PHONY: clean
clean: ## Remove environments and everything generated; the data folder stays
	rm -rf .venv .venv-* .state build docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
