"""Hosts made of Linux namespaces: each has its own network, processes, name, /tmp, /dev/shm and home, and an sshd.

All hang on one bridge of this process's own network, and share the rest of the file system, as hosts do that mount one.
Meant for a process in namespaces of its own (`tests/cluster/__main__.py`): whatever happens, all goes when it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.errors import CanfleetError

NETWORK: Final = "10.97.0"
OUTSIDE: Final = f"{NETWORK}.1"
"""Address of the bridge: where this process is, as seen from the hosts."""
_BRIDGE: Final = "canfleet-test"
_SSH_S: Final = 10.0

_START: Final = """
set -e
hostname {name}
mount --bind {own}/tmp /tmp
mount --bind {own}/run /run
mount -t tmpfs -o size=1g tmpfs /dev/shm
mount --bind {own}/passwd /etc/passwd
mount --bind {common}/hosts /etc/hosts
mount --bind /dev/null /etc/resolv.conf
mkdir -p /run/sshd
/usr/sbin/sshd -D -e -f {common}/sshd_config -E {own}/sshd.log
"""
_SSHD: Final = """
Port 22
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/login_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
MaxStartups 100
"""


class Network:
    """The bridge, and the files that all hosts have in common: keys and names."""

    def __init__(self, folder: Path) -> None:
        """Make it; `folder` must not lie in /tmp, which each host has for itself."""
        self.folder: Final = folder
        self.login_key: Final = folder / "login_key"
        for name in ("host_key", "login_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        (folder / "sshd_config").write_text(_SSHD.format(folder=folder))
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{OUTSIDE} outside\n")
        run("mount", "--bind", str(folder / "hosts"), "/etc/hosts")
        run("mount", "--bind", "/dev/null", "/etc/resolv.conf")
        run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", _BRIDGE, "type", "bridge")
        run("ip", "address", "add", f"{OUTSIDE}/24", "dev", _BRIDGE)
        run("ip", "link", "set", _BRIDGE, "up")

    def host(self, name: str, number: int) -> Host:
        """Start a host with the address NETWORK.number, and wait until its sshd answers."""
        with (self.folder / "hosts").open("a") as hosts:
            hosts.write(f"{NETWORK}.{number} {name}\n")
        return Host(self, name, number)


class Host:
    """One host, whose user is root.

    Attributes:
        name, address: of it.
        home: its user's.
    """

    def __init__(self, network: Network, name: str, number: int) -> None:
        """See `Network.host`."""
        self.name: Final = name
        self.address: Final = f"{NETWORK}.{number}"
        own = network.folder / name
        self.home: Final = own / "home"
        for part in ("tmp", "run", "home"):
            (own / part).mkdir(parents=True)
        (own / "passwd").write_text(f"root:x:0:0::{self.home}:/bin/bash\nsshd:x:100:65534::/run/sshd:/bin/false\n")
        run("ip", "netns", "add", name)
        self._inside("ip", "link", "set", "lo", "up")
        self._link = f"veth{number}"
        run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", self._link, "master", _BRIDGE, "up")
        self._inside("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self._inside("ip", "link", "set", "eth0", "up")
        # Ray learns its own address from the route to the world, which nothing here ever goes to.
        self._inside("ip", "route", "add", "default", "via", OUTSIDE)
        script = _START.format(name=name, own=own, common=network.folder)
        spaces = ("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc")
        with (own / "console.log").open("w") as console:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", name, *spaces, "bash", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            )
        self._await_ssh(own / "console.log")

    def processes(self, title: str = "") -> dict[int, str]:
        """Its processes by id here, with their command lines, as far as these begin with `title`."""
        found = {}
        for pid in run("ip", "netns", "pids", self.name).split():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if command.startswith(title):
                found[int(pid)] = command
        return found

    def cut(self) -> None:
        """Take it off the network; all its processes live on, and reach each other."""
        run("ip", "link", "set", self._link, "down")

    def heal(self) -> None:
        """Put it on the network again."""
        run("ip", "link", "set", self._link, "up")

    def fall_silent(self) -> None:
        """Take it off the network and kill all its processes, so that nobody gets a word of farewell."""
        self.cut()
        for pid in self.processes():
            with suppress(ProcessLookupError):  # the first of them takes the others along
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def kill_but_ssh(self) -> None:
        """Kill everything but what lets one in again."""
        for pid, command in self.processes().items():
            if not command.startswith(("bash -c", "sshd:", "/usr/sbin/sshd", "unshare")):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _inside(self, *command: str) -> None:
        run("ip", "netns", "exec", self.name, *command)

    def _await_ssh(self, console: Path) -> None:
        deadline = time.monotonic() + _SSH_S
        while subprocess.run(
            ["ip", "netns", "exec", self.name, "bash", "-c", "< /dev/tcp/127.0.0.1/22"],
            capture_output=True,
            check=False,
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CanfleetError(f"host {self.name} did not start: {console.read_text()}")
            time.sleep(0.1)


def run(*command: str) -> str:
    """Run a command; what it printed.

    Raises:
        CanfleetError: it failed; the message has what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CanfleetError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def missing(commands: Sequence[str]) -> list[str]:
    """Those of the commands that this machine lacks."""
    places = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [one for one in commands if not any((Path(place) / one).exists() for place in places.split(":") if place)]
