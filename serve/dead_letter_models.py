"""The shapes of requests and answers about dead letters. Timestamps are microseconds since the epoch."""

from __future__ import annotations

from typing import Final

from pydantic import ConfigDict, Field

from serve.models import Answer, Asked, Microseconds

MAX_IDS: Final = 1_000
MAX_PAYLOAD_CHARACTERS: Final = 1 << 20

LETTER: Final = "1785000000000000-9f3c21ab55e01d77"
"""An id, for examples."""
_MENDED: Final = '{"vehicle_id": "truck-7", "timestamp": 1785000000000000, "arbitration_id": 256, "data": "00ff"}'


class DeadLetter(Answer):
    """A row that could not be accepted, with the text to look at, mend and send again."""

    id: str = Field(examples=[LETTER])
    received_at: Microseconds
    stage: str = Field(examples=["validate"])
    reason: str = Field(examples=["timestamp_in_future"])
    meaning: str | None = Field(
        description="The reason in words.", examples=["timestamp lies more than a day in the future"]
    )
    payload: str = Field(
        description="The row as it came, or as one JSON object with data in hexadecimal.",
        examples=['{"vehicle_id": "truck-7", "timestamp": 4102444800000000, "arbitration_id": 256, "data": "00ff"}'],
    )
    request_id: str = Field(description="Of the request it came with.", examples=["4f1c"])


class ReasonCount(Answer):
    """How many rows have one reason."""

    stage: str = Field(examples=["validate"])
    reason: str = Field(examples=["timestamp_in_future"])
    count: int = Field(examples=[17])


class DeadLetterPage(Answer):
    """Dead letters, newest first. `next` is the cursor of the page behind this one, null on the last."""

    dead_letters: list[DeadLetter]
    reasons: list[ReasonCount] = Field(description="Of all that the filter matches, not of this page alone.")
    next: str | None = Field(examples=[None])


class ReplayFilter(Asked):
    """Which dead letters are meant: all that agree with what is given; `{}` is every one."""

    reason: str | None = Field(default=None, examples=["timestamp_in_future"])
    stage: str | None = Field(default=None, description="`parse`, `validate` or `store`.", examples=["validate"])
    start: str | int | None = Field(
        default=None,
        alias="from",
        description="Received at or after: RFC 3339 or microseconds.",
        examples=["2026-01-31T12:00:00Z"],
    )
    end: str | int | None = Field(
        default=None, alias="to", description="Received before.", examples=["2026-01-31T13:00:00Z"]
    )


class ReplayRequest(Asked):
    """Dead letters to send again: either `ids` or `filter`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"ids": [LETTER], "payload": _MENDED},
                {"filter": {"reason": "timestamp_in_future"}, "limit": 1000},
                {"filter": {}},
            ]
        },
    )

    ids: list[str] | None = Field(default=None, min_length=1, max_length=MAX_IDS, examples=[[LETTER]])
    filter: ReplayFilter | None = None
    payload: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PAYLOAD_CHARACTERS,
        description="A mended row, one JSON object, in place of the payload of the one id.",
        examples=[_MENDED],
    )
    cursor: str | None = Field(default=None, description="`next` of the answer before.", examples=[LETTER])
    limit: int = Field(default=1_000, ge=1, le=5_000, description="Most dead letters of one call.", examples=[1_000])


class ReplayFailure(Answer):
    """A dead letter that stays as it is, with the reason it was refused for this time."""

    id: str = Field(examples=[LETTER])
    stage: str = Field(examples=["validate"])
    reason: str = Field(examples=["timestamp_in_future"])
    meaning: str | None = Field(examples=["timestamp lies more than a day in the future"])


class Replayed(Answer):
    """What became of dead letters that were sent again: replayed = accepted + duplicates."""

    replayed: int = Field(description="They are gone from the dead letters.", examples=[2])
    accepted: int = Field(examples=[1])
    duplicates: int = Field(
        description="Their frames had been accepted before, by an earlier replay for one.", examples=[1]
    )
    failed: list[ReplayFailure]
    unknown: list[str] = Field(description="Ids that the fleet has no dead letter of.", examples=[[]])
    next: str | None = Field(description="Send it as `cursor` to go on; null when all were tried.", examples=[None])


class Purged(Answer):
    """How many dead letters were deleted."""

    purged: int = Field(examples=[17])
