"""`python -m tests.cluster`: hosts, `ray up`, load, the loss of a host, a verdict. Exits 1 where a promise was broken.

All of it happens in namespaces of its own (network, mounts, processes), so that the kernel removes every host, address,
mount and process when this one ends, however it does. One folder in /var/tmp is removed here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.cluster.hosts import missing

_NEEDED: Final = {
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "rsync": "rsync",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
"""Commands, and the Debian packages that have them."""
_BOUND: Final = ("setpriv", "--pdeathsig", "KILL")
_SPACES: Final = ("unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--rate", type=float, default=2_000, help="frames per second (default: 2,000)")
    parser.add_argument("--seed", type=int, default=7, help="of the frames (default: 7)")
    parser.add_argument("--calm", type=float, default=10, help="seconds of load between events (default: 10)")
    parser.add_argument("--from", dest="before", default="HEAD~1", help="revision to upgrade from (default: HEAD~1)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--head", action="store_true", help="lose the head instead of a worker (needs redis-server)")
    which.add_argument("--cut", action="store_true", help="cut the network to a worker that lives on instead")
    which.add_argument("--growing", action="store_true", help="nodes that come and go with the load instead")
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs behind")
    arguments = parser.parse_args()
    needed = _NEEDED | ({"redis-server": "redis-server"} if arguments.head else {})
    if os.geteuid() != 0:
        return _refuse(
            "this test makes network namespaces, which takes root: run it as root, or in a container as root"
        )
    if absent := missing(list(needed)):
        packages = " ".join(sorted({needed[one] for one in absent}))
        return _refuse(f"{', '.join(absent)} not found: apt-get install {packages}")
    folder = Path(tempfile.mkdtemp(prefix="canfleet-cluster-", dir="/var/tmp"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    course = next((one for one in ("head", "cut", "growing") if getattr(arguments, one)), "worker")
    given = [str(folder), str(arguments.rate), str(arguments.seed), str(arguments.calm), arguments.before, course]
    world = subprocess.Popen([*_BOUND, *_SPACES, sys.executable, "-m", "tests.cluster.scenario", *given])
    try:
        return world.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        # The kernel ends all processes of the namespace with its first one, which ends with `unshare`.
        world.kill()
        world.wait()
        if arguments.keep:
            print(f"left behind: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)


def _refuse(why: str) -> int:
    print(f"cluster-test: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
