"""Does the platform's ledger hold what the load test was promised? Asked over HTTP, before and after the run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import httpx

_SETTLE_S: Final = 180.0
_READ_S: Final = 300.0


class LedgerError(Exception):
    """The ledger cannot be read."""


class Ledger:
    """The ledger of the key's fleet."""

    def __init__(self, url: str, key: str) -> None:
        """Ask the platform at `url`; the key needs scope `query`, and `admin` for the reconciliation."""
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=_READ_S)

    def totals(self) -> dict[str, Any]:
        """The sums.

        Raises:
            LedgerError: the platform does not answer, or refuses.
        """
        return self._get("/v1/ledger")

    def settled(self) -> dict[str, Any]:
        """The sums, once nothing waits for ClickHouse, or as they are when that takes too long.

        Raises:
            LedgerError: as of `totals`.
        """
        deadline = time.monotonic() + _SETTLE_S
        while (found := self.totals())["pending"] and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def reconciliation(self) -> dict[str, Any]:
        """Whether ClickHouse agrees, as `canfleet reconcile` asks.

        Raises:
            LedgerError: as of `totals`.
        """
        return self._get("/v1/ledger/reconciliation")

    def _get(self, path: str) -> dict[str, Any]:
        try:
            answer = self._client.get(path)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LedgerError(f"{self._client.base_url} does not answer: {error or type(error).__name__}") from error
        if not answer.is_success:
            raise LedgerError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found


def disagreements(
    before: Mapping[str, int], after: Mapping[str, int], kinds: Mapping[str, Mapping[str, int]], *, alone: bool
) -> list[str]:
    """What the sums of the ledger before and after a run do not say of what its users were told.

    Args:
        before, after: of `Ledger`.
        kinds: counts by kind, see `Tally`.
        alone: whether nobody else sent anything: then the sums must be equal, and no frame may be missing.
    """
    acknowledged = sum(one["accepted"] + one["duplicates"] for one in kinds.values())
    bad = sum(one["dead_lettered"] for one in kinds.values())
    unknown = sum(one["given_up"] for one in kinds.values())
    gained = after["accepted"] - before["accepted"]
    found = []
    if after["pending"]:
        found.append(f"{after['pending']:,} frames still wait for ClickHouse")
    if gained < acknowledged or (alone and not unknown and gained > acknowledged):
        found.append(f"{acknowledged:,} frames were acknowledged, the ledger has {gained:,} more than before")
    if after["dead_lettered"] - before["dead_lettered"] < bad:
        found.append(f"{bad:,} rows became dead letters, but the ledger knows of fewer")
    if alone and not unknown and after["frames_missing"]:
        found.append(f"{after['frames_missing']:,} frames are missing by the vehicles' own counts")
    return found
