"""What a person does to a cluster from outside: writes the files, and calls Ray's launcher."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import httpx
import yaml

from pipeline.errors import CanfleetError
from simulator import FLEET_DBC
from tests.chaos.traffic import FLEETS
from tests.cluster.hosts import NETWORK, Host, Network, run
from tests.cluster.releases import BORROW
from tests.cluster.rendering import ROOT, rendered_cluster, rendered_config, rendered_serve

PORT: Final = 8080
_BIN: Final = Path(sys.executable).parent
_POLL_S: Final = 0.5


class Operator:
    """Of one cluster.

    Attributes:
        key: with every scope, for fleet `default`.
        shared: the folder that all hosts have in common.
        start_of_up: the line of the start commands that starts `canfleet up`.
        pid_of_up: the shell's word for its process id.
    """

    def __init__(
        self,
        network: Network,
        clickhouse: str,
        head: str,
        workers: Sequence[str],
        redis: tuple[str, str] | None = None,
        release: Path | None = None,
    ) -> None:
        """Write the files that `ray up` takes. Addresses of workers may be of hosts to come.

        `redis`, an address and a password, is for a head that may be lost, where nothing else runs then. `release` is
        the folder of a wheel that the hosts install; without one they have this checkout.
        """
        self._folder = network.folder / "operator"
        self._login_key = network.login_key
        self.shared: Final = network.folder / "shared"
        self.key: Final = secrets.token_hex(16)
        for folder in (self._folder, self.shared):
            folder.mkdir()
        self._environment = {
            "HOME": str(self._folder),
            "PATH": f"{_BIN}:{os.environ['PATH']}:/usr/sbin",
            "RAY_AUTH_MODE": "token",
            "RAY_UP_enable_autoscaler_v2": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        token, key = self._folder / "auth_token", self._folder / "bootstrap.key"
        for file, secret in ((token, secrets.token_hex(32)), (key, self.key)):
            file.write_text(secret)
        config = self._folder / "canfleet.yaml"
        config.write_text(yaml.safe_dump(rendered_config(clickhouse, f"{NETWORK}.0/24", self.shared, FLEET_DBC)))
        mounts = {
            "~/release/canfleet.yaml": config,
            "~/release/bootstrap.key": key,
            "~/.ray/auth_token": token,
        }
        serve = self._folder / "serve.yaml"
        serve.write_text(yaml.safe_dump(rendered_serve("by serve deploy")))
        if release is not None:
            mounts |= {"~/release/serve.yaml": serve}
            mounts |= {"~/release/dist": release, "~/release/requirements.lock": ROOT / "requirements.lock"}
        # Hosts have this machine's installation and checkout, and its compiled kernels, so that none is compiled anew.
        checkout = {
            "PATH": self._environment["PATH"],
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
        }
        installed = {
            **(checkout if release is None else {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}),
            "RAY_AUTH_MODE": "token",
            # Workers wait for a head that is away so long, instead of a minute.
            **({} if redis is None else {"RAY_gcs_rpc_server_reconnect_timeout_s": "600"}),
        }
        self._cluster = self._folder / "cluster.yaml"
        libraries = None if release is None else BORROW
        rendered = rendered_cluster(
            head, workers, network.login_key, mounts, self.shared, installed, redis=redis, release=libraries
        )
        self._cluster.write_text(yaml.safe_dump(rendered))
        [self.start_of_up] = re.findall(r"\(setsid nohup canfleet up .*?\)", rendered["head_start_ray_commands"][-1])
        run_file = self.shared / "data" / "canfleet.run"
        self.pid_of_up = f"""$(python -c 'import json; print(json.load(open("{run_file}"))["pid"])')"""

    async def up(self, *options: str) -> None:
        """`ray up`, and once more where it fails: Ray gives its agent 15 s to start, too few on a busy machine."""
        try:
            await self.ray("up", "--yes", "--no-config-cache", *options)
        except CanfleetError:
            await self.ray("up", "--yes", "--no-config-cache", *options)

    async def ray(self, *command: str, timeout_s: float = 240.0) -> str:
        """Run `ray COMMAND` for the cluster; what it printed, which is in operator/commands.log too.

        Raises:
            CanfleetError: it failed, or took too long.
        """
        verb, *more = command
        return await self._run([str(_BIN / "ray"), verb, str(self._cluster), *more], timeout_s)

    async def roll(self, release: Path, timeout_s: float = 600.0) -> str:
        """`deploy/roll.sh` with a wheel's folder. Raises as `ray` does."""
        script = str(ROOT / "deploy" / "roll.sh")
        return await self._run([script, str(self._cluster)], timeout_s, {"DIST": str(release)})

    async def on(self, host: Host, command: str, timeout_s: float = 60.0) -> str:
        """Run a command on a host, as a person who logs in; what it printed. Raises as `ray` does."""
        login = ["ssh", "-tt", "-i", str(self._login_key), "-o", "StrictHostKeyChecking=no"]
        shell = ["bash", "-i", "-c", shlex.quote(command)]
        return await self._run([*login, f"root@{host.address}", *shell], timeout_s)

    async def _run(self, command: list[str], timeout_s: float, more: Mapping[str, str] = MappingProxyType({})) -> str:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self._environment | more,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
        except TimeoutError as error:
            process.kill()
            raise CanfleetError(f"{' '.join(command)} took more than {timeout_s:g} s") from error
        text = output.decode(errors="replace")
        with (self._folder / "commands.log").open("a") as log:
            log.write(f"$ {' '.join(command)}\n{text}\n")
        if process.returncode:
            raise CanfleetError(f"{' '.join(command)} ended with status {process.returncode}:\n{text[-3000:]}")
        return text

    async def keys(self, url: str) -> list[str]:
        """A key for each fleet of FLEETS."""
        return await keys_with(self.key, url)


class Entrance(Protocol):
    """Where HTTP is served."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def home(self) -> Path: ...


async def keys_with(key: str, url: str) -> list[str]:
    """A key for each fleet of FLEETS, the first of which is that of `key`."""
    made = []
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=20) as http:
        for fleet in FLEETS[1:]:
            answer = await http.post("/v1/keys", json={"fleet": fleet, "scopes": ["ingest", "query"]})
            made.append(answer.raise_for_status().json()["key"])
    return [key, *made]


def url_of(host: Entrance) -> str:
    """Where the host's HAProxy serves the API."""
    return f"http://{host.address}:{PORT}"


async def spread(operator: Operator, host: Entrance, timeout_s: float) -> None:
    """SIGHUP for `canfleet up` replaces the replicas, and the new ones are spread over all hosts, `host` too."""
    await asyncio.sleep(5)  # its raylet has just come, and the cluster is about to know it
    await operator.ray("exec", f"kill -HUP {operator.pid_of_up}")
    await ready(host, timeout_s)


async def ready(host: Entrance, timeout_s: float) -> float:
    """Wait until the platform is ready, as the host's HAProxy says; seconds waited.

    Raises:
        CanfleetError: it is not in time; the message has the last answer.
    """
    began, answer = time.monotonic(), "nothing answers"
    async with httpx.AsyncClient(timeout=5) as http:
        while time.monotonic() - began < timeout_s:
            try:
                response = await http.get(f"{url_of(host)}/readyz")
                if response.status_code == httpx.codes.OK:
                    return time.monotonic() - began
                answer = response.text
            except httpx.HTTPError as error:
                answer = type(error).__name__
            await asyncio.sleep(_POLL_S)
    log = host.home / "canfleet.log"
    said = run("tail", "-n", "40", str(log)) if log.exists() else ""
    raise CanfleetError(f"{host.name} is not ready after {timeout_s:g} s: {answer}\n{said}")
