# canfleet: every step CI and people run. All of them work on a fresh machine with Python 3.11+.
SHELL := /bin/bash
PY := .venv/bin/python
DURATION ?= 0
MINUTES ?= 10
SEED ?=
SCENARIO ?= mixed
IMAGE ?= canfleet:$(shell git rev-parse --short HEAD 2>/dev/null)
CLUSTER ?= deploy/local-cluster.yaml

.PHONY: demo test check format bench chaos cluster-test fuzz load clean lock dashboards wheel image deploy roll smoke rollback

.venv/ready: requirements.lock pyproject.toml
	python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch .venv/ready

demo: .venv/ready ## start everything with a small simulated fleet (DURATION=30 stops by itself with a verdict)
	@.venv/bin/canfleet demo --duration $(DURATION)

check: .venv/ready ## lint, format, types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: .venv/ready ## everything that must hold, two files at a time; tests/conftest.py says what stays together
	@# Kernels are compiled once, beside the checks, not by each process of each platform that a test starts.
	.venv/bin/canfleet warm & $(PY) -c 'from simulator.fleet import warm_up; warm_up()' & $(MAKE) check && wait
	$(PY) -m pytest -n 2

format: .venv/ready
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/ready ## the benchmark, as a person reads it
	@.venv/bin/canfleet bench

chaos: .venv/ready ## load and faults for MINUTES=10, by SEED, then a verdict: is anything lost or doubled?
	@$(PY) -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

cluster-test: .venv/ready ## `ray up` on hosts made of network namespaces, load, the loss of a host (takes root; docs/cluster.md)
	@$(PY) -m tests.cluster $(ARGS)

fuzz: .venv/ready ## hostile input for MINUTES=10 each: does any reader crash, hang, or answer with 500?
	@$(PY) -m tests.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

load: .venv/ready ## a load test by name, SCENARIO=mixed for MINUTES=10, on a platform of its own or on URL=: docs/load-tests.md
	@$(PY) -m $(if $(URL),loadtest --url $(URL),tests.loadtest) $(SCENARIO) --minutes $(MINUTES) $(if $(USERS),--users $(USERS)) \
	  $(if $(VEHICLES),--vehicles $(VEHICLES)) $(if $(RATE),--rate $(RATE)) $(if $(OUT),--out $(OUT)) $(ARGS)

dashboards: .venv/ready ## generate Grafana's dashboards again, after a change in deploy/grafana/source
	$(PY) -m deploy.grafana.generate

wheel: .venv/ready ## the package, into dist/
	rm -f dist/canfleet-*.whl
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

image: ## the container image, as IMAGE=canfleet:COMMIT (needs Docker)
	docker build --tag $(IMAGE) .

deploy: wheel ## this commit on the environment ENV=staging, on AWS, with a smoke test (ROLL=1: while frames flow): docs/delivery.md
	ROLL=$(ROLL) deploy/aws/deploy.sh $(ENV)

roll: wheel ## this commit on the cluster CLUSTER=deploy/local-cluster.yaml that runs, while frames flow: docs/delivery.md
	deploy/roll.sh $(CLUSTER)

smoke: .venv/ready ## one frame through the platform at URL=https://…, with CANFLEET_KEY
	@.venv/bin/canfleet smoke $(if $(URL),--url $(URL))

rollback: .venv/ready ## what last passed its smoke test on ENV=staging, deployed again
	deploy/aws/rollback.sh $(ENV)

lock: ## resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --extra platform --extra edge --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -q -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
