# canfleet: every step CI and people run. All of them work on a fresh machine with Python 3.11+.
SHELL := /bin/bash
PY := .venv/bin/python
DURATION ?= 0
MINUTES ?= 10
SEED ?=
SIDE_BY_SIDE := $(addprefix tests/,actors anomalies benchmark breaker clickhouse dead_letters decode dedup edge frames fuzz gaps \
  grafana haproxy history journal keys lanes limits page ranges serve shard simulator windows)

.PHONY: demo test check format bench chaos fuzz clean lock dashboards

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

test: check ## everything that must hold; what starts no platform of its own runs on two cores at once
	$(PY) -m pytest -n 2 --dist loadfile $(SIDE_BY_SIDE)
	$(PY) -m pytest tests $(addprefix --ignore=,$(SIDE_BY_SIDE))

format: .venv/ready
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/ready ## the benchmark, as a person reads it
	@.venv/bin/canfleet bench

chaos: .venv/ready ## load and faults for MINUTES=10, by SEED, then a verdict: is anything lost or doubled?
	@$(PY) -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: .venv/ready ## hostile input for MINUTES=10 each: does any reader crash, hang, or answer with 500?
	@$(PY) -m tests.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

dashboards: .venv/ready ## generate Grafana's dashboards again, after a change in deploy/grafana/source
	$(PY) -m deploy.grafana.generate

lock: ## resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --extra platform --extra edge --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -q -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
