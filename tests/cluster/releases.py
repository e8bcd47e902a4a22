"""Releases as wheels: that of this checkout, and one from before; and what a host needs to install them."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Final

from tests.cluster.hosts import run
from tests.cluster.rendering import ROOT

_TOOL: Final = """#!{python}
import sys
from {module} import {function}
sys.exit({function}())
"""


def _tool(name: str, module: str, function: str) -> str:
    """Shell that makes a console script of the environment."""
    text = _TOOL.format(python="$HOME/venv/bin/python", module=module, function=function)
    return f"cat > ~/venv/bin/{name} <<END\n{text}END\nchmod +x ~/venv/bin/{name}"


BORROW: Final = f"""test -x ~/venv/bin/python || {{
{sys.executable} -m venv --without-pip ~/venv
echo {sysconfig.get_path("purelib")} > ~/venv/lib/python{sysconfig.get_python_version()}/site-packages/borrowed.pth
{_tool("ray", "ray.scripts.scripts", "main")}
{_tool("serve", "ray.serve.scripts", "cli")}
{_tool("pip", "pip._internal.cli.main", "main")}
}}"""
"""Instead of installing requirements.lock: a virtual environment that has this machine's libraries, and no canfleet."""


def build(revision: str | None, into: Path) -> Path:
    """The folder of the wheel of a revision, or of this checkout as it is.

    Raises:
        CanfleetError: there is no such revision here, or it cannot be built.
    """
    source = ROOT
    if revision is not None:
        source = into / "source"
        source.mkdir(parents=True)
        archive = into / "source.tar"
        run("git", "-C", str(ROOT), "archive", "--output", str(archive), revision)
        run("tar", "-xf", str(archive), "-C", str(source))
    dist = into / "dist"
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--no-build-isolation", "--wheel-dir", str(dist), str(source)),
    )
    return dist


def named(revision: str) -> str:
    """What a revision is, in a line. Raises CanfleetError where there is none."""
    return run("git", "-C", str(ROOT), "log", "-1", "--format=%h %s", revision).strip()
