"""`python -m tests.loadtest SCENARIO`: a load test against a platform of its own, which ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from canfleet.child import ChildPlatform
from loadtest.__main__ import arguments_of
from pipeline.errors import CanfleetError


def main() -> int:
    """Run it; with the exit status of `python -m loadtest`."""
    arguments_of("python -m tests.loadtest", url=False).parse_known_args()
    try:
        with tempfile.TemporaryDirectory() as folder, ChildPlatform(Path(folder)) as platform:
            command = [sys.executable, "-m", "loadtest", *sys.argv[1:], "--url", platform.url, "--alone"]
            return subprocess.run(command, env=os.environ | {"CANFLEET_KEY": platform.key}, check=False).returncode
    except CanfleetError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
