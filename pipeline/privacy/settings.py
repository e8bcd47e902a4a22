"""Settings of privacy: which vehicle ids are replaced at the door, and where the secret for it lives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Which = Literal["off", "vin", "all"]


def _off(given: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if given is False else given


class PrivacySettings(BaseModel):
    """Pseudonyms of vehicles. What was stored before they were turned on keeps the ids it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pseudonymise: Annotated[Which, BeforeValidator(_off)] = "off"
    """`vin`: ids of a VIN's shape (ISO 3779: 17 letters and digits without I, O, Q). `all`: every id."""
    key_file: Path | None = None
    """The secret, 64 hexadecimal digits; None: `privacy.key` in the data directory, made at the first start."""
