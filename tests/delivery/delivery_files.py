"""The repository's root, its files, and what Ray's launcher makes of a cluster file."""

from __future__ import annotations

import copy
import logging
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return loaded


def prepared(cluster: dict[str, Any]) -> dict[str, Any]:
    """The cluster file with Ray's defaults filled in, as `ray up` has it before it asks AWS; checked by Ray."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.disable(logging.WARNING)  # of file mounts in containers, which there are none of
    try:
        whole: dict[str, Any] = prepare_config(copy.deepcopy(cluster))
        validate_config(whole)
    finally:
        logging.disable(logging.NOTSET)
    return whole


def packaged_files() -> set[str]:
    """Files of the packages that git knows or would take: what must be in the wheel."""
    import tomllib

    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *packages]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).exists()}
