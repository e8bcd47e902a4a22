"""`canfleet install`: puts a release on every node of a Ray cluster, beside what runs there."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import load_config
from pipeline.errors import CanfleetError

_GIVES_WAY = ("nice", "-n", "19")
"""The node's shards take frames meanwhile."""


def install(
    wheel: Annotated[Path, typer.Argument(help="The release: canfleet-….whl.", exists=True, dir_okay=False)],
    config: Annotated[Path, typer.Option(help="The configuration, at this path on every node.")],
) -> None:
    """Install a wheel on every node of the platform's Ray cluster, and compile its kernels there.

    Processes that run go on as they are; `canfleet up --take-over` brings the release into force. Nodes that come later
    have it from the cluster's own setup. Libraries stay: a release with another lock takes a new start.
    """
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    address = load_config(config, {}).ray.address
    if address is None:
        raise CanfleetError("install is for a platform on a Ray cluster (ray.address): here, use pip")
    # Nodes have another release, which may not know this module, or know it otherwise.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address=address, namespace="canfleet", logging_level="warning", log_to_driver=False)
    installing = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(_install_here).options(num_cpus=0, scheduling_strategy=there, max_retries=0)
            installing[task.remote(wheel.name, wheel.read_bytes(), str(config))] = node["NodeManagerAddress"]
    failed = 0
    for answer, address in installing.items():
        try:
            typer.echo(f"{address}: {ray.get(answer)}")
        except ray.exceptions.RayError as error:
            failed += 1
            typer.echo(f"{address}: {str(error).strip().splitlines()[-1]}", err=True)
    if failed:
        raise CanfleetError(f"{failed} of {len(installing)} nodes do not have the release: what runs, runs on")


def _install_here(name: str, wheel: bytes, config: str) -> str:
    """On a node: into the installation that its workers run from; what was done."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(wheel)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--no-deps", "--no-index", "--force-reinstall", str(path)])
    _run([*_GIVES_WAY, sys.executable, "-m", "canfleet", "warm", "--config", str(Path(config).expanduser())])
    return f"{name} is installed, and its kernels compiled"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CanfleetError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
