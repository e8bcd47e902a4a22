"""The process that writes one exported log: `python -m serve.export_writer`, with a `Task` as JSON on standard input.

A process of its own, since python-can writes message by message, and asammdf brings libraries that nothing else here
needs. Writes one line of JSON to standard output: `{"frames": n}`, `{"away": reason}` or `{"refused": reason}`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.export import COLUMNS, read_frames
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.errors import WarehouseAway, WarehouseError
from pipeline.history.log_files import Format, write_file
from pipeline.priority import PROCESSING


class Task(BaseModel):
    """What to write where.

    Attributes:
        warehouse: where the frames are.
        fleet, vehicle_id, start, end: which: [start, end), microseconds.
        form: of the file.
        path: the file.
    """

    model_config = ConfigDict(frozen=True)

    warehouse: WarehouseSettings
    fleet: str
    vehicle_id: str
    start: int
    end: int
    form: Format
    path: Path


def write(task: Task, warehouse: Warehouse) -> int:
    """Write the file; the number of frames.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    frames = read_frames(warehouse, task.fleet, task.vehicle_id, task.start, task.end)
    return write_file(task.path, task.form, frames, COLUMNS)


def main() -> None:
    """Do the task of standard input."""
    os.nice(PROCESSING)
    task = Task.model_validate_json(sys.stdin.buffer.read())
    answer: dict[str, Any]
    try:
        warehouse = Warehouse.connect(task.warehouse)
        answer = {"frames": write(task, warehouse)}
        warehouse.close()
    except WarehouseAway as error:
        answer = {"away": str(error)}
    except WarehouseError as error:
        answer = {"refused": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
