"""Every operation of the description, with requests that fit it and such that do not.

`python -m tests.fuzz --target openapi` has more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fuzz.openapi_target import OpenApiTarget


@pytest.fixture(scope="module")
def target() -> Iterator[OpenApiTarget]:
    opened = OpenApiTarget()
    yield opened
    opened.close()


def test_every_answer_is_one_that_is_described(target: OpenApiTarget) -> None:
    operations = target.described.operations
    assert len(operations) == sum(len(ways) for ways in target.door.document["paths"].values())
    for operation in operations:
        target.attempt(json.dumps([operation.label, 0]).encode())
