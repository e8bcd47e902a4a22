"""`python -m tests.fuzz`: tries inputs on the front door for some minutes a target. Exits 1 where anything is found."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from pathlib import Path
from tempfile import mkdtemp

from tests.fuzz.run import run, table
from tests.fuzz.target import TARGETS, target_of


def main() -> int:
    """Search, or try one kept input again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1, help="how long each target is tried (default: 1)")
    parser.add_argument("--target", action="append", default=[], help=f"only this of {', '.join(TARGETS)}")
    parser.add_argument("--seed", type=int, default=None, help="of the inputs (default: a new one)")
    parser.add_argument("--folder", type=Path, default=None, help="where findings are kept (default: a new one)")
    parser.add_argument("--checked", action="store_true", help="compile kernels with checks of every index")
    parser.add_argument("--again", type=Path, default=None, help="try this kept input once, in this process")
    arguments = parser.parse_args()
    names = arguments.target or list(TARGETS)
    if arguments.again is not None:
        return _again(names, arguments.again, parser)
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    folder = arguments.folder or Path(mkdtemp(prefix="canfleet-fuzz-findings-"))
    # SIGTERM must end the process that tries inputs, as SIGINT does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    say(f"seed {seed}, findings in {folder}")
    outcomes = [run(name, arguments.minutes * 60, seed, folder, say, checked=arguments.checked) for name in names]
    say(table(outcomes))
    return 1 if any(outcome.broken for outcome in outcomes) else 0


def say(line: str) -> None:
    """Print at once, whatever reads it."""
    print(line, flush=True)


def _again(names: list[str], path: Path, parser: argparse.ArgumentParser) -> int:
    if len(names) != 1:
        parser.error("--again needs the one --target that the input was made for")
    target = target_of(names[0])
    target.attempt(path.read_bytes())
    target.close()
    print(f"{path} is answered as it must be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
