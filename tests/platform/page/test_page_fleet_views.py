"""The views of the fleet as a whole: storage, geofences, and a signal over all vehicles."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from page_fleet import Visit
from playwright.sync_api import expect

from canfleet.child import ChildPlatform
from pipeline.clickhouse.geofences import _METRES_A_DEGREE

pytestmark = pytest.mark.platform


def test_storage_is_shown_to_the_operator_and_others_are_told(
    visit: Callable[..., Visit], fleet: str, platform: ChildPlatform
) -> None:
    window = visit(390, 844)
    page = window.page
    window.open(platform.key, "storage")
    rows = page.get_by_role("table", name="Storage by table and tier").locator("tbody tr")
    expect(rows.filter(has=page.get_by_role("rowheader", name="frames", exact=True))).to_contain_text("hot")
    expect(page.locator(".tiles > div", has_text="On disk")).to_contain_text(re.compile(r"\d [kM]B"))
    page.get_by_label("Frames a second").fill("50000")
    page.get_by_label("Frames a second").press("Enter")
    expect(page.locator(".tiles > div", has_text="50K frames/s")).to_contain_text(re.compile(r"[\d.]+ TB"))
    assert page.url.endswith("#/storage?rate=50000")
    assert window.width() <= 0
    other = visit()
    other.open(fleet, "storage")
    expect(other.page.get_by_text("only the bootstrap key sees it")).to_be_visible()
    expect(other.page.locator("#view table")).to_be_hidden()
    assert not [url for url in other.asked if "/v1/storage" in url]


def test_fences_tell_who_is_inside_and_when_a_vehicle_came_and_went(
    visit: Callable[..., Visit], fleet: str, platform: ChildPlatform
) -> None:
    window = visit()
    page = window.page
    window.open(fleet, "geofences")
    told = httpx.get(f"{platform.url}/v1/fleet/positions", headers={"X-API-Key": fleet}, timeout=30).json()
    placed = [row for row, at in enumerate(told["positioned_at"]) if at]
    inside = sum(40 <= told["latitude"][row] <= 54 and 0 <= told["longitude"][row] <= 25 for row in placed)
    region = page.get_by_role("table", name="Fences").locator("tbody tr", has_text="region")
    expect(region).to_contain_text("4 corners")
    expect(region.locator("td").first).to_have_text(str(inside))
    page.get_by_label("Vehicle", exact=True).fill("veh-00001")
    page.get_by_role("button", name="Show", exact=True).click()
    events = page.get_by_role("table", name="Entering and leaving").locator("tbody tr").filter(has_text="depot")
    expect(events).to_have_count(2)
    expect(events.nth(0)).to_contain_text("left46.60000, 7.50000")
    expect(events.nth(1)).to_contain_text("entered46.50000, 7.50000")
    assert "vehicle=veh-00001" in page.url
    page.get_by_role("button", name="depot").click()
    expect(page.locator("#view canvas")).to_have_attribute("aria-label", re.compile(" 0 in sight"))
    page.get_by_label("Vehicle", exact=True).fill("nobody")
    with page.expect_response(re.compile("nobody/geofences")):
        page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("has no vehicle `nobody`")).to_be_visible()
    assert [text for text in window.errors if "404" not in text] == []
    window.errors.clear()


def test_a_signal_over_the_fleet(visit: Callable[..., Visit], fleet: str) -> None:
    window = visit()
    page = window.page
    window.open(fleet, "signals")
    expect(page.locator("#fleet-signal")).to_have_value("WheelSpeeds.VehicleSpeed")
    page.get_by_label("Signal").fill("EngineData.EngineSpeed")
    page.get_by_label("Signal").press("Enter")
    expect(page.get_by_text("vehicles sent")).to_contain_text("values of EngineData.EngineSpeed.")
    expect(page.locator(".tiles > div", has_text="Highest")).to_contain_text(re.compile(r"9,(0|5)00 rpm"))
    expect(page.locator("#view .plot")).to_have_attribute(
        "aria-label", re.compile(r"EngineSpeed over the fleet: from .* rpm to 9,\d00 rpm, median [\d,.]+ rpm; 90 % lie")
    )
    top = page.get_by_role("table", name="Vehicles that lead").locator("tbody tr")
    expect(top.first).to_contain_text(re.compile("gappy|veh-00005"))
    page.get_by_label("Vehicles with the").select_option("count")
    expect(top.first).to_contain_text("gappy")
    top.first.get_by_role("link").click()
    expect(page.locator("figure[data-signal=EngineSpeed] canvas")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Vehicles with the")).to_have_value("count")
    window.go("signals?signal=Nothing")
    expect(page.get_by_text("No vehicle sent Nothing in this time.")).to_be_visible()


CIRCLE = {"name": "c", "polygon": None, "circle": {"latitude": 60.0, "longitude": 179.99, "radius_m": 2_000.0}}
ACROSS = {"name": "p", "circle": None, "polygon": [[-1.0, 179.0], [1.0, 179.0], [1.0, -179.0], [-1.0, -179.0]]}
DEGREE_EAST_M = _METRES_A_DEGREE / 2  # at 60 degrees


def test_a_fence_holds_what_the_warehouse_says_it_holds(visit: Callable[..., Visit], platform: Any) -> None:
    page = visit(400, 400).page
    page.goto(platform.url)
    script = """async ([fences, places]) => {
        const { Fence } = await import('/page/map/fence.js');
        return fences.map((one) => places.map(([lat, lon]) => new Fence(one).holds(lat, lon)));
    }"""
    east = 1_990 / DEGREE_EAST_M
    places = [
        (60.0, 179.99),
        (60.0, 179.99 + east - 360),
        (60.0, 179.99 - 1.02 * east),
        (60.0179, 179.99),
        (60.0181, 179.99),
    ]
    [circle] = page.evaluate(script, [[CIRCLE], places])
    assert circle == [True, True, False, True, False]
    places = [(0.0, 180.0), (0.0, -179.5), (0.5, 179.5), (0.0, -178.9), (0.0, 178.9), (1.1, 180.0), (0.0, 0.0)]
    [polygon] = page.evaluate(script, [[ACROSS], places])
    assert polygon == [True, True, True, False, False, False, False]
