"""The load grows, so actors find no room and Ray's autoscaler brings nodes; it falls, and they go again.

One machine: Ray's `fake_multinode` provider starts further raylets beside the first. All else is as it is in a cluster.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import yaml

from canfleet.benchmark.verify import wait_until
from pipeline.errors import CanfleetError
from simulator import FLEET_DBC
from tests.cluster.course import Course
from tests.cluster.launching import PORT, keys_with, ready
from tests.cluster.rendering import ROOT

_BIN: Final = Path(sys.executable).parent
_NODES: Final = 3
_START_S: Final = 300.0
_GROW_S: Final = 180.0
_FALL_S: Final = 180.0
_FLEET: Final = "crowd"
_CROWD: Final = {"vehicles": 200, "rate": 25.0}
"""A second fleet, which makes of 2,000 frames/s 7,000."""
_FRAMES_PER_S: Final = 2_500
"""What an actor is meant to take: one does at first, three with the crowd."""

_HEAD: Final = "ray.head.default"
"""What this provider calls its head, whatever the file says."""

_AUTOSCALER: Final[dict[str, Any]] = {
    "cluster_name": "growing",
    "max_workers": _NODES - 1,
    "provider": {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "head_node_type": _HEAD,
    "available_node_types": {
        _HEAD: {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
        "worker": {
            "resources": {"CPU": 2, "object_store_memory": 100_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": _NODES - 1,
        },
    },
    "idle_timeout_minutes": 0.2,
    "upscaling_speed": 2.0,
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "rsync_exclude": [],
    "rsync_filter": [],
} | {
    f"{one}_commands": []
    for one in ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
}
_START: Final = """
wanted="$(canfleet environment --config canfleet.yaml --folder /tmp/canfleet-node)" && eval "$wanted" &&
AUTOSCALER_UPDATE_INTERVAL_S=1 RAY_FAKE_CLUSTER=1 ray start --head --port=6379 --num-cpus=2 \\
  --autoscaling-config=autoscaler.yaml --dashboard-host=127.0.0.1 --disable-usage-stats \\
  --object-store-memory=200000000 &&
(setsid nohup canfleet up --config canfleet.yaml --bootstrap-key {key} >> canfleet.log 2>&1 < /dev/null &)
"""


@dataclass
class Machine:
    """Where everything runs."""

    home: Path
    name: str = "the machine"
    address: str = "127.0.0.1"
    key: str = field(default_factory=lambda: secrets.token_hex(16))

    async def keys(self, url: str) -> list[str]:
        """A key for each fleet of FLEETS."""
        return await keys_with(self.key, url)

    @property
    def environment(self) -> dict[str, str]:
        """Of all commands."""
        path = f"{_BIN}:{os.environ['PATH']}:/usr/sbin"
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        own = {"HOME": str(self.home), "PATH": path, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": cache}
        return own | {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_autoscaler_v2": "0"}

    def run(self, command: str) -> str:
        """Run it in a shell at home; what it printed.

        Raises:
            CanfleetError: it failed.
        """
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.home, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CanfleetError(f"{command.strip()} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout

    def nodes(self) -> int:
        """Raylets that run."""
        return sum(one.info["name"] == "raylet" for one in psutil.process_iter(["name"]))

    def actors(self) -> set[int]:
        """Partition actors that hold shards."""
        url = f"http://{self.address}:{PORT}/v1/status"
        shards = httpx.get(url, headers={"X-API-Key": self.key}, timeout=20).raise_for_status().json()["shards"]
        return {shard["actor"] for shard in shards if "error" not in shard}


async def growing(course: Course) -> None:
    """The whole course."""
    machine = Machine(course.network.folder / "home")
    machine.home.mkdir()
    course.others = (_FLEET,)
    async with course.clickhouse() as clickhouse:
        _write(machine, clickhouse)
        await course.step("ray start", asyncio.to_thread(_start, machine))
        await course.step("ready", ready(machine, _START_S))
        async with course.load(machine, machine, course.calm_s):
            course.report["alone"] = _seen(machine)
            with _crowd(machine) as crowd:
                await course.step("nodes come, shards move", _until(lambda: _grown(machine), _GROW_S, "grow"))
                course.report["with the crowd"] = _seen(machine)
                await asyncio.sleep(course.calm_s)
            await course.step("nodes go", _until(lambda: _shrunk(machine), _FALL_S, "shrink"))
            course.report["alone again"] = _seen(machine)
        course.report["crowd"] = json.loads(crowd.read_text())
        await asyncio.to_thread(_reconcile, machine, course)


def _write(machine: Machine, clickhouse: str) -> None:
    scaling = {"min_actors": 1, "max_actors": _NODES, "cpus_per_actor": 1.5, "frames_per_second": _FRAMES_PER_S}
    config = {
        "data_dir": str(machine.home / "data"),
        "dbc": [str(FLEET_DBC)],
        "server": {"host": "127.0.0.1", "port": PORT},
        "ray": {"address": "auto"},
        "clickhouse": {"url": clickhouse, "storage_policy": "hot_cold"},
        "shard": {"partitions": 12, "shards": 6},
        "scaling": scaling | {"look_every_s": 2, "fewer_after_s": 10},
    }
    (machine.home / "canfleet.yaml").write_text(yaml.safe_dump(config))
    (machine.home / "autoscaler.yaml").write_text(yaml.safe_dump(_AUTOSCALER))


def _start(machine: Machine) -> None:
    machine.run("ray get-auth-token --generate")
    machine.run(_START.format(key=machine.key))


@contextmanager
def _crowd(machine: Machine) -> Iterator[Path]:
    """A second fleet that drives meanwhile; its file will hold what it was told."""
    answer = httpx.post(
        f"http://{machine.address}:{PORT}/v1/keys",
        headers={"X-API-Key": machine.key},
        json={"fleet": _FLEET, "scopes": ["ingest", "query"]},
        timeout=20,
    )
    (machine.home / "crowd.key").write_text(answer.raise_for_status().json()["key"])
    told = machine.home / "crowd.json"
    command = f"exec canfleet simulate --url http://{machine.address}:{PORT} --key $(cat crowd.key) --json"
    for name, value in _CROWD.items():
        command += f" --{name} {value}"
    with told.open("w") as output:
        driving = subprocess.Popen(
            ["bash", "-c", command], cwd=machine.home, env=machine.environment, stdout=output, stderr=subprocess.DEVNULL
        )
        try:
            yield told
        finally:
            driving.terminate()
            driving.wait(60)


def _grown(machine: Machine) -> bool:
    return machine.nodes() == _NODES and machine.actors() == set(range(_NODES))


def _shrunk(machine: Machine) -> bool:
    return machine.nodes() == 1 and machine.actors() == {0}


def _seen(machine: Machine) -> dict[str, Any]:
    return {"nodes": machine.nodes(), "actors with shards": sorted(machine.actors())}


async def _until(holds: Callable[[], bool], timeout_s: float, what: str) -> None:
    waited = await asyncio.to_thread(wait_until, holds, timeout_s)
    if waited >= timeout_s:
        raise CanfleetError(f"the cluster does not {what} within {timeout_s:g} s")


def _reconcile(machine: Machine, course: Course) -> None:
    url = f"http://{machine.address}:{PORT}"
    course.say(machine.run(f"canfleet reconcile --url {url} --key $(cat crowd.key)").strip())
    lost = course.report["crowd"]
    if lost["failed"]:
        course.faults.append(f"{lost['failed']} frames of the crowd were given up")
