"""A running API against its own description, by Schemathesis: requests made from the one, checked by the other."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from pipeline.frames.body import ARROW, NDJSON
from tests.fuzz.arrow_streams import stream
from tests.fuzz.json_text import ndjson

CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.missing_required_header,
    checks.unsupported_method,
    checks.ignored_auth,
]
"""Not whether what fits a schema is accepted: that a moment or a name makes sense, no schema says."""
_PATIENCE_S: Final = 60
"""For an answer: kernels that the first request compiles take their time on a busy machine."""
_STATELESS: Final = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

schemathesis.openapi.media_type(ARROW, st.integers(0, 1 << 32).map(lambda number: stream(Random(number))))
schemathesis.openapi.media_type(NDJSON, st.integers(0, 1 << 32).map(lambda number: ndjson(Random(number))))
schemathesis.openapi.media_type("application/octet-stream", st.binary(max_size=200))


class Described:
    """The API at `url`, asked with `key`, so many `examples` of each operation right and wrong.

    Attributes:
        operations: all of the description.
    """

    def __init__(self, url: str, key: str, examples: int) -> None:
        """Read the description."""
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=schemathesis.Config())
        # The live feed has no end: its first event tells.
        schema.config.max_stream_events = 1
        self.operations: list[Any] = [found.ok() for found in schema.get_all_operations()]
        self._headers = {"Authorization": f"Bearer {key}"}
        self._examples = examples
        self._session = requests.Session()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def try_operation(self, operation: Any, number: int = 0) -> int:
        """Send requests that fit the description, and such that do not; `number` picks which.

        Returns:
            How many were sent.

        Raises:
            Exception: an answer that is not described, whichever way.
        """
        sent = 0
        for mode in GenerationMode:
            # What has neither parameters nor a body can only be asked rightly.
            if mode is GenerationMode.POSITIVE or operation.body or list(operation.iter_parameters()):
                sent += self._try(operation, mode, number)
        return sent

    def _try(self, operation: Any, mode: GenerationMode, number: int) -> int:
        sent = 0

        @seed(number)
        @settings(
            max_examples=self._examples,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=_STATELESS,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            nonlocal sent
            sent += 1
            case.call_and_validate(session=self._session, headers=self._headers, checks=CHECKS, timeout=_PATIENCE_S)

        check()
        return sent
