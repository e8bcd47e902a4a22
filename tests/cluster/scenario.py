"""Runs a course of events as the first process of its namespaces: when it ends, so does all that it started."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from pipeline.errors import CanfleetError
from tests.cluster.course import Course
from tests.cluster.cut_off import cut_off
from tests.cluster.growing import growing
from tests.cluster.hosts import run
from tests.cluster.lost_head import lost_head
from tests.cluster.lost_worker import lost_worker

COURSES: Final[dict[str, Callable[[Course], Coroutine[Any, Any, None]]]] = {
    "worker": lost_worker,
    "head": lost_head,
    "cut": cut_off,
    "growing": growing,
}


def main() -> int:
    """Run it; prints the report as JSON. Exits 1 where something was not as promised."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("rate", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("calm_s", type=float)
    parser.add_argument("before")
    parser.add_argument("course", choices=COURSES)
    arguments = parser.parse_args()
    (arguments.folder / "tmp").mkdir()
    run("mount", "--bind", str(arguments.folder / "tmp"), "/tmp")
    course = Course(arguments.folder, arguments.rate, arguments.seed, arguments.calm_s, arguments.before)
    try:
        asyncio.run(COURSES[arguments.course](course))
    except CanfleetError as error:
        course.faults.append(str(error))
    except ExceptionGroup as group:
        course.faults.append(f"{group.exceptions[0]}")
    print(json.dumps(course.report, indent=2))
    for fault in course.faults:
        print(f"cluster-test: {fault}", file=sys.stderr)
    return 1 if course.faults else 0


if __name__ == "__main__":
    sys.exit(main())
