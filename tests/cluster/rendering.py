"""deploy/local-cluster.yaml and deploy/local-canfleet.yaml, with what is marked CHANGE changed for these hosts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
CLUSTER: Final = ROOT / "deploy" / "local-cluster.yaml"
CONFIG: Final = ROOT / "deploy" / "local-canfleet.yaml"
SERVE: Final = ROOT / "deploy" / "serve.yaml"
GATEWAYS: Final = 2
_SHARED: Final = "/srv/canfleet"


def rendered_cluster(
    head: str,
    workers: Sequence[str],
    key: Path,
    mounts: dict[str, Path],
    shared: Path,
    environment: dict[str, str],
    *,
    redis: tuple[str, str] | None,
    release: str | None = None,
) -> dict[str, Any]:
    """The cluster of these hosts.

    Args:
        head, workers: addresses.
        key: to log in as root.
        mounts: what lies on each host where, instead of the release.
        shared: the folder of all hosts.
        environment: that the hosts' shells set.
        release: what gives a host its libraries, instead of requirements.lock; the rest of the setup is the file's own.
            None: hosts have this machine's installation and checkout, and nothing is set up.
        redis: address and password, for a head that may be lost; nothing that takes frames runs there then.
    """
    cluster = yaml.safe_load(CLUSTER.read_text())
    cluster["provider"] |= {"head_ip": head, "worker_ips": list(workers)}
    cluster["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    cluster["file_mounts"] = {to: str(path) for to, path in mounts.items()}
    exports = " ".join(f"{name}={value}" for name, value in environment.items())
    shell = f"echo {shlex.quote(f'export {exports}')} > ~/.bashrc"
    cluster["setup_commands"] = [shell, *([] if release is None else _setup(cluster["setup_commands"], release))]
    if redis is not None:
        start = f"RAY_REDIS_ADDRESS={redis[0]} ray start --head --redis-password={redis[1]} --num-cpus=0"
        cluster["head_start_ray_commands"][-1] = cluster["head_start_ray_commands"][-1].replace(
            "ray start --head", start
        )
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        cluster[commands] = [one.replace(_SHARED, str(shared)) for one in cluster[commands]]
    return cluster


def _setup(commands: Sequence[str], libraries: str) -> list[str]:
    """The file's own, but for those that make an environment with the libraries of the lock."""
    [venv] = [one for one in commands if "-m venv" in one]
    [lock] = [one for one in commands if "--require-hashes" in one]
    return [libraries if one == venv else one for one in commands if one != lock]


def rendered_config(clickhouse: str, network: str, shared: Path, dbc: Path) -> dict[str, Any]:
    """The platform's configuration: four shards on two hosts, and checkpoints that come often."""
    config = yaml.safe_load(CONFIG.read_text())
    config["data_dir"] = str(shared / "data")
    config["dbc"] = [str(dbc)]
    config["server"] |= {"gateways": GATEWAYS, "trusted_proxies": [network]}
    config["ray"]["nodes"] = 2
    config["clickhouse"]["url"] = clickhouse
    config["shard"] |= {"shards": 4, "partitions": 16, "checkpoint_interval_s": 15, "rollup_interval_s": 10}
    return config


def rendered_serve(release: str) -> dict[str, Any]:
    """The HTTP side in Serve's format, as many gateways as in the configuration."""
    document: dict[str, Any] = yaml.safe_load(SERVE.read_text())
    for application in document["applications"]:
        application["runtime_env"]["env_vars"]["CANFLEET_RELEASE"] = release
        if application["name"] == "frames":
            application["deployments"][0]["num_replicas"] = GATEWAYS
    return document
