"""Where numba keeps compiled kernels: one folder for each state of the sources.

numba looks only at the file of the outermost function, so an edit to a function that a kernel inlines from another
file would leave the old machine code in use. A folder named by all sources cannot be stale.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parent.parent
_KEPT: Final = 4
_PREFIX: Final = "kernels-"


def use_fresh_cache() -> None:
    """Point numba at the folder of these sources, unless `NUMBA_CACHE_DIR` is set; before numba is imported.

    One that another process of ours has set does not count: a release may be installed beside the one that runs.
    A few milliseconds; removes all but the newest folders when it makes one.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given is not None and not Path(given).match(f"canfleet/{_PREFIX}*"):
        return
    digest = hashlib.blake2b(digest_size=8)
    for package in ("pipeline", "simulator"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "canfleet"
    folder = home / f"{_PREFIX}{digest.hexdigest()}"
    if not folder.exists():
        try:
            folder.mkdir(parents=True)
        except OSError:
            return  # numba then falls back to __pycache__, or compiles anew each time
        others = sorted(home.glob(f"{_PREFIX}*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in others[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
