"""The limits of every caller that one replica knows: what to refuse, and what to say about it. Knows no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final
from weakref import WeakValueDictionary

from pipeline.limits.bucket import Bucket, Level, take, tightest, wait_s
from pipeline.limits.settings import UNITS, FrameUnit, Rate, RateLimitSettings, Unit
from pipeline.limits.shares import LEASE_S, first_share


@dataclass(slots=True, weakref_slot=True)
class Limit:
    """One bucket of somebody, and when this replica was last told its share of it."""

    name: str
    policies: list[str]
    """The names of its windows, as the headers have them."""
    rate: Rate
    bucket: Bucket
    told_at: float = float("-inf")


@dataclass(slots=True)
class Caller:
    """One key, with its own limits and those of its fleet; or an address, with one limit."""

    limits: dict[Unit, list[Limit]]
    policy: str = field(init=False)
    """The header `RateLimit-Policy`, empty where nothing is limited."""
    all: list[Limit] = field(init=False)
    all_levels: list[Level] = field(init=False)
    policies: list[tuple[str, int]] = field(init=False)
    """Name and amount of each window, as in `all_levels`."""
    levels: dict[Unit, list[Level]] = field(init=False)
    """Of all buckets of a kind, since asking them together is what each request pays for."""
    asked: dict[Unit, int] = field(init=False)
    """What came since the replicas last spoke."""
    empty_until: float = 0.0
    """Until when it may be that not one frame is left."""
    usual_frames: int = 1
    """Frames of its last request: what one that is refused unread is taken to have had."""

    def __post_init__(self) -> None:
        """Gather all kinds."""
        self.all = [limit for limits in self.limits.values() for limit in limits]
        self.all_levels = [level for limit in self.all for level in limit.bucket.levels]
        self.policies = [
            (policy, window.amount)
            for limit in self.all
            for policy, window in zip(limit.policies, limit.rate, strict=True)
        ]
        self.levels = {
            unit: [level for limit in limits for level in limit.bucket.levels] for unit, limits in self.limits.items()
        }
        self.asked = dict.fromkeys(self.limits, 0)
        self.policy = ", ".join(
            f'"{policy}";q={window.amount};w={window.seconds}' + ("" if unit == "requests" else ';qu="frames"')
            for unit, limits in self.limits.items()
            for limit in limits
            for policy, window in zip(limit.policies, limit.rate, strict=True)
        )


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
                {
                    unit: self._some(own, unit, key.of(unit)) + self._some(all_keys, unit, shared.of(unit))
                    for unit in UNITS
                }
            )
            self._remember(self._keys, key_id, caller)
        return caller

    def of_address(self, address: str) -> Caller:
        """The callers without a key at `address`."""
        caller = self._addresses.get(address)
        if caller is None:
            bounds = self._some(("address", address), "requests", self._settings.unauthenticated)
            caller = Caller({"requests": bounds, "frames": [], "backfill": []})
            self._remember(self._addresses, address, caller)
        return caller

    def ask(self, caller: Caller, now: float, unit: FrameUnit = "frames", *, again: bool = False) -> float:
        """Take one request, whose frames will count as `unit`; 0, or the seconds after which it may come again.

        It is refused, too, where not one frame was left when the last request came: whatever is in it could not be
        taken in. One that is asked for `again`, after news of a share, counts once as demand.
        """
        levels = caller.levels["requests"]
        wait = wait_s(levels, 1, now)
        if caller.empty_until > now:
            wait = max(wait, wait_s(caller.levels[unit], 1, now))
        if not again:
            caller.asked["requests"] += 1
        if wait > 0:
            if not again:
                caller.asked[unit] += caller.usual_frames
            return wait
        take(levels, 1, now)
        return 0.0

    def ask_frames(self, caller: Caller, n: int, now: float, unit: FrameUnit, *, again: bool = False) -> float:
        """Take `n` frames of a request that `ask` let in; 0, or the seconds after which it may come again."""
        levels = caller.levels[unit]
        if not again:
            caller.usual_frames = n
            caller.asked[unit] += n
        wait = wait_s(levels, n, now)
        if wait > 0:
            caller.empty_until = now + wait
            return wait
        take(levels, n, now)
        return 0.0

    def owe_frames(self, caller: Caller, n: int, now: float, unit: FrameUnit) -> None:
        """Take `n` frames of a request that is half done, whether or not they are there: the next one waits."""
        caller.asked[unit] += n
        take(caller.levels[unit], n, now)
        caller.empty_until = now + wait_s(caller.levels[unit], 1, now)

    def left(self, caller: Caller, now: float) -> str:
        """The header `RateLimit`: of all policies the one that is nearest to its end; empty where there is none.

        A replica knows its own bucket, so what is left is what would be left if it went alike in all of them.
        """
        if not caller.all:
            return ""
        place, left, full_in = tightest(caller.all_levels, now)
        policy, amount = caller.policies[place]
        return f'"{policy}";r={int(left * amount + 1e-9)};t={ceil(full_in)}'

    def demand(self) -> dict[str, float]:
        """What limits were asked for since the last call, by name; those alone that were. O(callers)."""
        asked: dict[str, float] = {}
        for known in (self._keys, self._addresses):
            for caller in known.values():
                for unit, n in caller.asked.items():
                    if n:
                        caller.asked[unit] = 0
                        for limit in caller.limits[unit]:
                            asked[limit.name] = asked.get(limit.name, 0.0) + n
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
            for name in [name for name, caller in known.items() if _idle(caller, now)]:
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


def _idle(caller: Caller, now: float) -> bool:
    return not any(caller.asked.values()) and all(limit.bucket.is_full(now) for limit in caller.all)
