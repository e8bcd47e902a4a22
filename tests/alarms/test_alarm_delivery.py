"""From a metric to a message: a real Prometheus with our rules, a real Alertmanager with our routes, a receiver."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from alarm_files import ALERTMANAGER, PROMETHEUS, RULES, free_ports

METRICS = b"""\
ray_canfleet_partition_away{shard="3"} 1
ray_canfleet_warehouse_breaker_open{shard="0"} 1
ray_canfleet_warehouse_up{shard="0"} 0
ray_canfleet_warehouse_up{shard="1"} 1
ray_canfleet_dead_letters_filled{fleet="north"} 0.9
"""
TOLD = {
    "/page": {("CanfleetPartitionAway", "3"), ("CanfleetWarehouseBreakerOpen", "0")},
    "/ticket": {("CanfleetDeadLettersNearlyFull", "north")},
}
"""Not: CanfleetInsertsFail of shard 0, which follows from ClickHouse being away."""


class Station(ThreadingHTTPServer):
    """Metrics for Prometheus, and the webhook that Alertmanager calls."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: dict[str, set[tuple[str, str]]] = {}
        self.runbooks: set[str] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Station

    def do_GET(self) -> None:
        self._answer(METRICS)

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in document["alerts"]:
            labels = alert["labels"]
            about = labels.get("shard", labels.get("fleet", ""))
            self.server.told.setdefault(self.path, set()).add((labels["alertname"], about))
            self.server.runbooks.add(alert["annotations"]["runbook"])
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def station() -> Iterator[Station]:
    with Station() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def running(folder: Path, name: str, options: Mapping[str, object]) -> Iterator[None]:
    """A program, until the block ends."""
    with (folder / f"{name}.log").open("wb") as log:
        arguments = [f"--{option}={value}" for option, value in options.items()]
        process = subprocess.Popen([name, *arguments], stdout=log, stderr=log, cwd=folder)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def at_once(folder: Path, station: Station, alertmanager_port: int) -> tuple[Path, Path]:
    """Our files, with these addresses, and without the minutes that alarms and messages wait for."""
    (folder / "rules").mkdir()
    for path in RULES:
        rules: dict[str, Any] = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            for rule in group["rules"]:
                # That nothing is scraped is true at the start.
                if "for" in rule and rule["alert"] != "CanfleetDown":
                    rule["for"] = "0s"
        (folder / "rules" / path.name).write_text(yaml.safe_dump(rules))
    # As Ray writes it.
    targets = [{"labels": {"job": "ray"}, "targets": [station.address]}]
    (folder / "nodes.json").write_text(json.dumps(targets))
    scraping = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    scraping["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    scraping["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{alertmanager_port}"]
    [nodes, _] = scraping["scrape_configs"]
    nodes["file_sd_configs"][0]["files"] = [str(folder / "nodes.json")]
    scraping["scrape_configs"] = [nodes]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(scraping))
    telling = ALERTMANAGER.read_text()
    assert telling.count("http://127.0.0.1:9095/") == 2
    routes = yaml.safe_load(telling.replace("127.0.0.1:9095", station.address))
    for route in (routes["route"], *routes["route"]["routes"]):
        route["group_wait"] = "1s"
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(routes))
    return folder / "prometheus.yml", folder / "alertmanager.yml"


def test_an_alarm_reaches_its_receiver_and_what_follows_from_it_does_not(tmp_path: Path, station: Station) -> None:
    for name in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed: apt-get install prometheus prometheus-alertmanager")
    prometheus_port, alertmanager_port = free_ports(2)
    scraping, telling = at_once(tmp_path, station, alertmanager_port)
    alertmanager = {
        "config.file": telling,
        "storage.path": tmp_path / "alertmanager",
        "web.listen-address": f"127.0.0.1:{alertmanager_port}",
        "cluster.listen-address": "",
    }
    prometheus = {
        "config.file": scraping,
        "storage.tsdb.path": tmp_path / "prometheus",
        "web.listen-address": f"127.0.0.1:{prometheus_port}",
    }
    with ExitStack() as stack:
        stack.enter_context(running(tmp_path, "prometheus-alertmanager", alertmanager))
        stack.enter_context(running(tmp_path, "prometheus", prometheus))
        until = time.monotonic() + 30
        while station.told != TOLD and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(2)  # what is silenced had the same time to come
    logs = "".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
    assert station.told == TOLD, logs
    assert "docs/runbooks/partition-away.md" in station.runbooks
