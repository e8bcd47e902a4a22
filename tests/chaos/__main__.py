"""`python -m tests.chaos`: chaos for some minutes, then a verdict. Exits 1 where a promise was broken."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
from pathlib import Path

import yaml

from pipeline.errors import CanfleetError
from tests.chaos.run import Plan, run


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long faults are injected (default: 10)")
    parser.add_argument("--seed", type=int, default=None, help="of frames and faults (default: a new one)")
    parser.add_argument("--rate", type=float, default=20_000, help="frames per second (default: 20,000)")
    parser.add_argument("--every", type=float, default=10, help="seconds from fault to fault (default: 10)")
    parser.add_argument("--fault", action="append", default=[], help="only this kind; may be repeated")
    parser.add_argument("--embedded", action="store_true", help="the embedded ClickHouse instead of one behind a proxy")
    parser.add_argument("--config", type=Path, help="configuration of the platform, YAML")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    plan = Plan(
        seed=seed,
        rate=arguments.rate,
        every_s=arguments.every,
        seconds=arguments.minutes * 60,
        faults=arguments.fault,
        external=not arguments.embedded,
        settings=yaml.safe_load(arguments.config.read_text()) if arguments.config else {},
    )
    # SIGTERM must undo what SIGINT undoes: mounts, and processes that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        report = run(plan, lambda line: print(line, file=sys.stderr, flush=True))
    except CanfleetError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(report.document, indent=2) if arguments.json else "\n".join(report.lines()))
    return 0 if report.kept else 1


if __name__ == "__main__":
    sys.exit(main())
