"""The limits of every caller that one replica knows: what to refuse, and what to say about it. Knows no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from weakref import WeakValueDictionary

from pipeline.limits.bucket import Bucket
from pipeline.limits.settings import Rate, RateLimitSettings
from pipeline.limits.shares import LEASE_S, first_share

Unit: TypeAlias = Literal["requests", "frames", "backfill"]


@dataclass(slots=True, weakref_slot=True)
class Limit:
    """One bucket of somebody, and what it was asked for since the replicas last spoke about it."""

    name: str
    policies: list[str]
    """The names of its windows, as the headers have them."""
    rate: Rate
    bucket: Bucket
    asked: int = 0
    told_at: float = float("-inf")


@dataclass(slots=True)
class Caller:
    """One key, with its own limits and those of its fleet; or an address, with one limit."""

    requests: list[Limit]
    frames: list[Limit]
    backfill: list[Limit]
    policy: str = field(init=False)
    """The header `RateLimit-Policy`, empty where nothing is limited."""
    usual_frames: int = 1
    """Frames of its last request: what one that is refused unread is taken to have had."""
    all: list[Limit] = field(init=False)

    def __post_init__(self) -> None:
        """Gather all kinds."""
        self.all = self.requests + self.frames + self.backfill
        self.policy = ", ".join(
            f'"{policy}";q={window.amount};w={window.seconds}' + ("" if limits is self.requests else ';qu="frames"')
            for limits in (self.requests, self.frames, self.backfill)
            for limit in limits
            for policy, window in zip(limit.policies, limit.rate, strict=True)
        )

    def frames_of(self, *, backfill: bool) -> list[Limit]:
        """The limits that frames count against."""
        return self.backfill if backfill else self.frames


class Limiter:
    """Buckets by caller, with this replica's share of each.

    Memory is bounded: callers whose buckets are full are forgotten, as a new bucket is as good.
    """

    def __init__(self, settings: RateLimitSettings, replicas: int) -> None:
        """Expect `replicas` to share each limit, until `tell` says how many there are."""
        self._settings: Final = settings
        self._replicas = replicas
        self._keys: dict[str, Caller] = {}
        self._addresses: dict[str, Caller] = {}
        self._limits: WeakValueDictionary[str, Limit] = WeakValueDictionary()

    def of_key(self, key_id: str, fleet: str) -> Caller:
        """The caller with key `key_id` of `fleet`."""
        caller = self._keys.get(key_id)
        if caller is None:
            key, shared = self._settings.key, self._settings.of_fleet(fleet)
            own, all_keys = ("key", key_id), ("fleet", fleet)
            caller = Caller(
                self._some(own, "requests", key.requests) + self._some(all_keys, "requests", shared.requests),
                self._some(own, "frames", key.frames) + self._some(all_keys, "frames", shared.frames),
                self._some(own, "backfill", key.backfill) + self._some(all_keys, "backfill", shared.backfill),
            )
            self._remember(self._keys, key_id, caller)
        return caller

    def of_address(self, address: str) -> Caller:
        """The callers without a key at `address`."""
        caller = self._addresses.get(address)
        if caller is None:
            caller = Caller(self._some(("address", address), "requests", self._settings.unauthenticated), [], [])
            self._remember(self._addresses, address, caller)
        return caller

    def ask(self, caller: Caller, now: float, *, backfill: bool = False, again: bool = False) -> float:
        """Take one request from its limits at `now`; 0, or the seconds after which it may come again.

        It is refused, too, where not one frame is left: whatever is in it could not be taken in. One that is asked
        for `again`, after news of a share, counts once as demand.
        """
        frames = caller.frames_of(backfill=backfill)
        wait = 0.0
        for limit in caller.requests:
            wait = max(wait, limit.bucket.wait_s(1, now))
        for limit in frames:
            wait = max(wait, limit.bucket.wait_s(1, now))
        if not again:
            _count(caller.requests, 1)
            if wait > 0:
                _count(frames, caller.usual_frames)
        if wait == 0:
            _take(caller.requests, 1, now)
        return wait

    def ask_frames(self, caller: Caller, n: int, now: float, *, backfill: bool = False, again: bool = False) -> float:
        """Take `n` frames of a request that `ask` let in; 0, or the seconds after which it may come again."""
        frames = caller.frames_of(backfill=backfill)
        wait = 0.0
        for limit in frames:
            wait = max(wait, limit.bucket.wait_s(n, now))
        if not again:
            caller.usual_frames = n
            _count(frames, n)
        if wait == 0:
            _take(frames, n, now)
        return wait

    def owe_frames(self, caller: Caller, n: int, now: float, *, backfill: bool = False) -> None:
        """Take `n` frames of a request that is half done, whether or not they are there: the next one waits."""
        frames = caller.frames_of(backfill=backfill)
        _count(frames, n)
        _take(frames, n, now)

    def left(self, caller: Caller, now: float) -> str:
        """The header `RateLimit`: of all policies the one that is nearest to its end; empty where there is none.

        A replica knows its own bucket, so what is left is what would be left if it went alike in all of them.
        """
        tightest: tuple[float, Limit, int, float] | None = None
        for limit in caller.all:
            place, left, full_in = limit.bucket.tightest(now)
            if tightest is None or left < tightest[0]:
                tightest = left, limit, place, full_in
        if tightest is None:
            return ""
        left, limit, place, full_in = tightest
        return f'"{limit.policies[place]}";r={int(left * limit.rate[place].amount + 1e-9)};t={-int(-full_in // 1)}'

    def demand(self) -> dict[str, float]:
        """What limits were asked for since the last call, by name; those alone that were."""
        asked = {}
        for name, limit in self._limits.items():
            if limit.asked:
                asked[name] = float(limit.asked)
                limit.asked = 0
        return asked

    def tell(self, replicas: int, shares: Mapping[str, float], now: float) -> None:
        """Note how many replicas there are, and this one's shares; others of its shares end with their lease."""
        self._replicas = replicas
        for name, share in shares.items():
            limit = self._limits.get(name)
            if limit is not None:
                limit.bucket.set_share(share, now)
                limit.told_at = now
        first = first_share(replicas)
        for limit in self._limits.values():
            if now - limit.told_at >= LEASE_S:
                limit.bucket.set_share(first, now)

    def forget(self, now: float) -> int:
        """Forget callers whose buckets are full at `now` and asked for nothing; how many are left. O(callers)."""
        for known in (self._keys, self._addresses):
            for name in [name for name, caller in known.items() if _idle(caller.all, now)]:
                del known[name]
        return len(self._keys) + len(self._addresses)

    def _remember(self, known: dict[str, Caller], name: str, caller: Caller) -> None:
        if len(known) >= self._settings.max_callers:
            # The one that came first: rather let somebody begin again than refuse a caller or grow.
            del known[next(iter(known))]
        known[name] = caller

    def _some(self, who: tuple[str, str], unit: Unit, rate: Rate) -> list[Limit]:
        """The limit of `who`, if there is one; the same object for everybody who shares it."""
        if not rate:
            return []
        kind, name = who[0], f"{who[0]}:{who[1]}:{unit}"
        limit = self._limits.get(name)
        if limit is None:
            policies = [f"{kind}-{unit}-{window.seconds}s" for window in rate]
            limit = self._limits[name] = Limit(name, policies, rate, Bucket(rate, first_share(self._replicas)))
        return [limit]


def _count(limits: Iterable[Limit], n: int) -> None:
    for limit in limits:
        limit.asked += n


def _take(limits: Iterable[Limit], n: int, now: float) -> None:
    for limit in limits:
        limit.bucket.take(n, now)


def _idle(limits: Iterable[Limit], now: float) -> bool:
    return all(not limit.asked and limit.bucket.is_full(now) for limit in limits)
