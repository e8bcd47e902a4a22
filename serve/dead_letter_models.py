"""The shapes of requests and answers about dead letters. Timestamps are microseconds since the epoch."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from serve.models import Asked, Microseconds

MAX_IDS: Final = 1_000
MAX_PAYLOAD_CHARACTERS: Final = 1 << 20

_ID: Final = "1785000000000000-9f3c21ab55e01d77"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class DeadLetter(_Answer):
    """A row that could not be accepted, with the text to look at, mend and send again."""

    id: str = Field(examples=[_ID])
    received_at: Microseconds
    stage: str = Field(examples=["validate"])
    reason: str = Field(examples=["timestamp_in_future"])
    meaning: str | None = Field(description="The reason in words.")
    payload: str = Field(description="The row as it came, or as one JSON object with data in hexadecimal.")
    request_id: str


class ReasonCount(_Answer):
    """How many rows have one reason."""

    stage: str
    reason: str
    count: int


class DeadLetterPage(_Answer):
    """Dead letters, newest first. `next` is the cursor of the page behind this one, null on the last."""

    dead_letters: list[DeadLetter]
    reasons: list[ReasonCount] = Field(description="Of all that the filter matches, not of this page alone.")
    next: str | None


class ReplayFilter(Asked):
    """Which dead letters are meant: all that agree with what is given; `{}` is every one."""

    reason: str | None = Field(default=None, examples=["timestamp_in_future"])
    stage: str | None = None
    start: str | int | None = Field(
        default=None, alias="from", description="Received at or after: RFC 3339 or microseconds."
    )
    end: str | int | None = Field(default=None, alias="to", description="Received before.")


class ReplayRequest(Asked):
    """Dead letters to send again: either `ids` or `filter`."""

    ids: list[str] | None = Field(default=None, min_length=1, max_length=MAX_IDS, examples=[[_ID]])
    filter: ReplayFilter | None = None
    payload: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PAYLOAD_CHARACTERS,
        description="A mended row, one JSON object, in place of the payload of the one id.",
    )
    cursor: str | None = Field(default=None, description="`next` of the answer before.")
    limit: int = Field(default=1_000, ge=1, le=5_000, description="Most dead letters of one call.")


class ReplayFailure(_Answer):
    """A dead letter that stays as it is, with the reason it was refused for this time."""

    id: str
    stage: str
    reason: str
    meaning: str | None


class Replayed(_Answer):
    """What became of dead letters that were sent again: replayed = accepted + duplicates."""

    replayed: int = Field(description="They are gone from the dead letters.")
    accepted: int
    duplicates: int = Field(description="Their frames had been accepted before, by an earlier replay for one.")
    failed: list[ReplayFailure]
    unknown: list[str] = Field(description="Ids that the fleet has no dead letter of.")
    next: str | None = Field(description="Send it as `cursor` to go on; null when all were tried.")


class Purged(_Answer):
    """How many dead letters were deleted."""

    purged: int
