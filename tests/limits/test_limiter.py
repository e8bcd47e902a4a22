"""The limits of callers: whose buckets are whose, what is refused, and what the headers say."""

from __future__ import annotations

from pipeline.config import load_config
from pipeline.limits.limiter import Limiter
from pipeline.limits.settings import RateLimitSettings
from pipeline.limits.shares import LEASE_S


def limiter(replicas: int = 1, **settings: object) -> Limiter:
    return Limiter(RateLimitSettings.model_validate(settings), replicas)


def test_a_key_has_its_own_limit_and_shares_that_of_its_fleet():
    limits = limiter(key={"requests": "3/s"}, fleet={"requests": "5/s"})
    a, b, other = limits.of_key("a", "north"), limits.of_key("b", "north"), limits.of_key("c", "south")
    assert [limits.ask(a, 0.0) for _ in range(3)] == [0, 0, 0]
    assert limits.ask(a, 0.0) > 0  # its own
    assert [limits.ask(b, 0.0) for _ in range(2)] == [0, 0]
    assert limits.ask(b, 0.0) > 0  # the fleet's
    assert limits.ask(other, 0.0) == 0
    assert limits.of_key("a", "north") is a


def test_a_refused_request_takes_nothing():
    limits = limiter(key={"requests": "1/s, 100/min", "frames": "10/s"})
    caller = limits.of_key("a", "north")
    assert limits.ask(caller, 0.0) == 0
    assert limits.ask_frames(caller, 8, 0.0, "frames") == 0
    for _ in range(50):
        assert limits.ask(caller, 0.5) > 0
        assert limits.ask_frames(caller, 8, 0.5, "frames") > 0
    assert limits.ask(caller, 1.0) == 0
    assert limits.ask_frames(caller, 8, 1.0, "frames") == 0


def test_a_request_is_refused_unread_where_not_one_frame_is_left():
    limits = limiter(key={"frames": "100/s"})
    caller = limits.of_key("a", "north")
    assert limits.ask(caller, 0.0) == 0
    assert limits.ask_frames(caller, 1000, 0.0, "frames") == 0  # more than there is, of a full bucket: owed
    assert limits.ask(caller, 0.0) == 0  # nobody has looked yet
    assert limits.ask_frames(caller, 5, 0.0, "frames") > 9
    wait = limits.ask(caller, 0.0)
    assert wait > 9
    assert limits.ask(caller, wait + 1e-6) == 0


def test_backfill_counts_apart():
    limits = limiter(key={"frames": "10/s", "backfill": "100/s"})
    caller = limits.of_key("a", "north")
    limits.owe_frames(caller, 1000, 0.0, "backfill")
    assert limits.ask(caller, 0.0) == 0
    assert limits.ask_frames(caller, 10, 0.0, "frames") == 0
    assert limits.ask(caller, 0.0, "backfill") > 8


def test_fleets_can_have_limits_of_their_own():
    limits = limiter(fleet={"frames": "10/s"}, fleets={"large": {"frames": "1000/s"}})
    assert limits.of_key("a", "small").policy == '"fleet-frames-1s";q=10;w=1;qu="frames"'
    assert limits.of_key("b", "large").policy == '"fleet-frames-1s";q=1000;w=1;qu="frames"'


def test_the_headers_name_all_policies_and_the_one_nearest_to_its_end():
    limits = limiter(key={"requests": "10/s, 100/min", "frames": "50/s"})
    caller = limits.of_key("a", "north")
    assert caller.policy == (
        '"key-requests-1s";q=10;w=1, "key-requests-60s";q=100;w=60, "key-frames-1s";q=50;w=1;qu="frames"'
    )
    for _ in range(4):
        limits.ask(caller, 0.0)
    assert limits.left(caller, 0.0) == '"key-requests-1s";r=6;t=1'
    limits.ask_frames(caller, 40, 0.0, "frames")
    assert limits.left(caller, 0.0) == '"key-frames-1s";r=10;t=1'
    assert limiter().of_key("a", "north").policy == ""
    assert limiter().left(limiter().of_key("a", "north"), 0.0) == ""


def test_what_is_left_is_that_of_all_replicas():
    limits = limiter(replicas=2, key={"requests": "100/s"})
    caller = limits.of_key("a", "north")
    limits.tell(2, {"key:a:requests": 0.5}, 0.0)
    for _ in range(25):
        assert limits.ask(caller, 0.0) == 0
    assert limits.left(caller, 0.0) == '"key-requests-1s";r=50;t=1'


def test_demand_counts_what_was_refused_and_each_request_once():
    limits = limiter(key={"requests": "1/s", "frames": "10/s"})
    caller = limits.of_key("a", "north")
    limits.ask(caller, 0.0)
    limits.ask_frames(caller, 4, 0.0, "frames")
    assert limits.demand() == {"key:a:requests": 1, "key:a:frames": 4}
    assert limits.demand() == {}
    limits.ask(caller, 0.0)
    limits.ask(caller, 0.0, again=True)
    assert limits.demand() == {"key:a:requests": 1, "key:a:frames": 4}  # as many frames as the last one had


def test_a_share_ends_with_its_lease():
    limits = limiter(replicas=3, key={"requests": "100/s"})
    caller = limits.of_key("a", "north")
    limits.tell(3, {"key:a:requests": 0.8}, 0.0)
    limits.tell(3, {}, LEASE_S - 0.1)
    assert caller.limits["requests"][0].bucket.share == 0.8
    limits.tell(3, {}, LEASE_S)
    assert caller.limits["requests"][0].bucket.share < 0.05


def test_memory_is_bounded_and_strangers_displace_no_key():
    limits = limiter(max_callers=100, key={"requests": "10/min"}, unauthenticated="1/min")
    caller = limits.of_key("a", "north")
    for _ in range(10):
        limits.ask(caller, 0.0)
    for i in range(10_000):
        limits.ask(limits.of_address(f"address {i}"), 0.0)
    assert limits.forget(0.0) == 101
    assert limits.ask(caller, 0.0) > 0
    limits.demand()
    assert limits.forget(60.0) == 0


def test_the_configuration_says_rates_as_people_write_them(tmp_path):
    file = tmp_path / "canfleet.yaml"
    file.write_text("rate_limits: {key: {frames: '1000/s, 20000/min'}, unauthenticated: 1/s}")
    limits = load_config(file, {}).rate_limits
    assert [(window.amount, window.seconds) for window in limits.key.frames] == [(1000, 1), (20_000, 60)]
    assert limits.model_dump(mode="json")["key"] == {"requests": "", "frames": "1000/s, 20000/min", "backfill": ""}
    assert RateLimitSettings.model_validate(limits.model_dump()) == limits
