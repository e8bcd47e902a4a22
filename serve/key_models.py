"""The shapes of requests and answers about API keys. Timestamps are microseconds since the epoch."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from pipeline.keys.record import MAX_FLEET_CHARACTERS, Scope
from serve.models import Answer, Asked, Microseconds


class KeyRequest(Asked):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"fleet": "north", "scopes": ["query"], "expires_at": 1893456000000000},
                {"fleet": "north", "scopes": ["ingest"], "vehicles": ["truck-7"]},
            ]
        },
    )

    fleet: str = Field(min_length=1, max_length=MAX_FLEET_CHARACTERS, examples=["north"])
    scopes: list[Scope] = Field(min_length=1, description="What it may do.", examples=[["ingest"]])
    expires_at: int | None = Field(
        None,
        ge=0,
        le=1 << 53,
        description="When it stops working, microseconds since the epoch; never where absent.",
        examples=[1893456000000000],
    )
    vehicles: list[str] = Field(
        default_factory=list,
        description="Ids or globs (`truck-*`) of the vehicles it may send frames of; for a key that only ingests.",
        examples=[["truck-7"]],
    )


class KeyInfo(Answer):
    """A key without its secret."""

    id: str = Field(examples=["k3j5h2g8d9s1"])
    fleet: str = Field(examples=["north"])
    scopes: list[Scope] = Field(examples=[["query"]])
    created: Microseconds
    last_used: int | None = Field(None, description="Microseconds since the epoch, some seconds late.", examples=[None])
    expires_at: int | None = Field(None, description="Microseconds since the epoch.", examples=[1893456000000000])
    revoked_at: int | None = Field(None, description="Microseconds since the epoch.", examples=[None])
    vehicles: list[str] = Field(description="The vehicles it is bound to; empty for all of its fleet.", examples=[[]])


class NewKey(KeyInfo):
    """A key with its text, which is shown this once."""

    key: str = Field(examples=["cf_k3j5h2g8d9s1_…"])


class Keys(Answer):
    """API keys."""

    keys: list[KeyInfo]
