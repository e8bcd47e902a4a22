# syntax=docker/dockerfile:1
# The whole platform in one image: `docker run -p 8080:8080 -v canfleet:/var/lib/canfleet -e CANFLEET_BOOTSTRAP_KEY=… IMAGE`.
# Pin the base by digest where your registry keeps one: python:3.11-slim-bookworm@sha256:…
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /build
# The locked packages first: they change seldom, and their layer is kept. All of them are wheels: no compiler is needed.
COPY requirements.lock ./
RUN python -m venv /opt/canfleet && \
    /opt/canfleet/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements.lock
COPY pyproject.toml README.md ./
COPY pipeline pipeline
COPY actors actors
COPY serve serve
COPY simulator simulator
COPY loadtest loadtest
COPY canfleet canfleet
COPY edge edge
RUN /opt/canfleet/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${PYTHON}
RUN useradd --uid 10001 --create-home canfleet && install -d -o canfleet -g canfleet /var/lib/canfleet
COPY --from=build /opt/canfleet /opt/canfleet
ENV PATH=/opt/canfleet/bin:$PATH
USER canfleet
WORKDIR /home/canfleet
# Journals, checkpoints, keys, the embedded ClickHouse: whatever an acknowledgement promised.
VOLUME /var/lib/canfleet
EXPOSE 8080
# Ray wants shared memory: run with --shm-size=512m, or it uses /tmp and says so.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
# SIGTERM drains, which takes as long as what is under way: give it `docker stop --time 90`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["canfleet", "up", "--data-dir", "/var/lib/canfleet", "--host", "0.0.0.0"]
