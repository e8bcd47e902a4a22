"""A node dies under load: how soon it is out, and what its clients see."""

from __future__ import annotations

import threading
import time
from collections import Counter

import httpx
import pytest
from haproxy_process import nodes, stand_alone


class Load:
    """Clients that send again until a request is answered with 202, each on a connection of its own."""

    def __init__(self, balancer, clients=6):
        self._balancer = balancer
        self._context = balancer.trust()
        self._stop = threading.Event()
        self.sent = self.answered = 0
        self.failures: list[tuple[float, str]] = []
        self.by_node: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, i):
        # Bodies of either kind: those that HAProxy reads whole before it passes them on, and those that it does not.
        body = b"x" * (100 if i % 2 else 100_000)
        with httpx.Client(base_url=self._balancer.secure, verify=self._context, timeout=20) as client:
            while not self._stop.is_set():
                with self._lock:
                    self.sent += 1
                while not self._once(client, body):
                    time.sleep(0.05)

    def _once(self, client, body):
        try:
            answer = client.post("/v1/frames", content=body)
        except httpx.TransportError as error:
            seen = type(error).__name__
        else:
            if answer.status_code == 202:
                with self._lock:
                    self.answered += 1
                    self.by_node[answer.json()["node"]] += 1
                return True
            seen = f"{answer.status_code} {answer.headers.get('retry-after')}"
        with self._lock:
            self.failures.append((time.monotonic(), seen))
        return False


@pytest.fixture
def two(tmp_path, certificate):
    with nodes("node-1", "node-2") as running, stand_alone(tmp_path, certificate, running) as balancer:
        for node in running:
            balancer.wait_for(node, "UP")
        yield running, balancer


@pytest.mark.parametrize("how", ["kill", "fall_silent"])
def test_a_dead_node_is_out_within_three_seconds_and_every_request_is_answered_in_the_end(two, how):
    running, balancer = two
    with Load(balancer) as load:
        time.sleep(1)
        assert set(load.by_node) == {"node-1", "node-2"}
        died = time.monotonic()
        getattr(running["node-1"], how)()
        took = balancer.wait_for("node-1", "DOWN")
        time.sleep(1.5)
        load.by_node.clear()
        time.sleep(0.5)
        assert set(load.by_node) == {"node-2"}
    last = max((when - died for when, _ in load.failures), default=0.0)
    kinds = Counter(kind for _, kind in load.failures)
    print(f"{how}: out after {took:.2f} s, last failure after {last:.2f} s: {dict(kinds)}, {load.answered} answered")
    assert took < 3
    assert last < 3.5
    assert load.answered == load.sent
    # What had reached the node that died, and nothing else, was told to come again.
    assert set(kinds) <= {"503 1", "RemoteProtocolError", "ReadError", "WriteError"}
    assert len(load.failures) <= 6


def test_without_any_node_the_answer_says_when_to_come_again_and_a_node_that_is_back_is_used(two):
    running, balancer = two
    for node in running.values():
        node.kill()
    for node in running:
        balancer.wait_for(node, "DOWN")
    with balancer.client() as client:
        answer = client.post("/v1/frames", content=b"x")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["type"] == "urn:canfleet:problem:unavailable"
        running["node-2"].start_again()
        balancer.wait_for("node-2", "UP")
        assert client.post("/v1/frames", content=b"x").status_code == 202
