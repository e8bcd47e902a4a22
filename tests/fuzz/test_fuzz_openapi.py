"""The OpenAPI description against the API itself, by Schemathesis: requests made from the one, checked in the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.front_door import FrontDoor
from tests.serve.serve_stand_in import BOOTSTRAP, bearer

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 4
"""Of each operation, right ones and wrong ones each."""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    from schemathesis.python.asgi import shutdown_lifespans

    opened = FrontDoor(tmp_path)
    yield opened
    shutdown_lifespans()
    opened.close()


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_answer_is_one_that_is_described(door: FrontDoor, mode: str) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", door)
    # The live feed has no end: its first event tells.
    schema.config.max_stream_events = 1
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == sum(len(ways) for ways in door.document["paths"].values())
    tried = 0
    for operation in operations:
        # What has neither parameters nor a body can only be asked rightly.
        if mode == "positive" or operation.body or list(operation.iter_parameters()):
            _try(operation, schemathesis.GenerationMode(mode))
            tried += 1
    assert tried > 10


def _try(operation: Any, mode: Any) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]

    @settings(max_examples=EXAMPLES, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(headers=bearer(BOOTSTRAP), checks=wanted)

    check()
