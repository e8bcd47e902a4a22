"""`canfleet smoke` on a whole platform: what it says, and what it does not let pass."""

from __future__ import annotations

from importlib.metadata import version

import httpx
import pytest
from platform_steps import as_json, canfleet

from canfleet.child import ChildPlatform

pytestmark = pytest.mark.platform


def test_a_frame_is_followed_into_the_history(platform: ChildPlatform, http: httpx.Client) -> None:
    told = as_json(canfleet(platform, "smoke", "--expect-version", version("canfleet"), "--json"))
    assert told["version"] == version("canfleet")
    assert 0 < told["acknowledged_s"] < told["stored_s"]
    assert "smoke-test" in {vehicle["vehicle_id"] for vehicle in http.get("/v1/vehicles").json()["vehicles"]}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--expect-version", "99"], "version"),
        (["--frame", "7FF#00"], "no database of the platform decodes 7FF#00"),
        (["--frame", "nonsense"], "is no frame"),
        (["--timeout", "1"], "answered 401"),
    ],
)
def test_what_is_not_so_is_one_line(platform: ChildPlatform, options: list[str], named: str) -> None:
    key = "wrong" if "--timeout" in options else None
    done = canfleet(platform, "smoke", *options, key=key)
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("canfleet: ")
    assert named in line
