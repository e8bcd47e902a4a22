"""The dashboard as a person uses it: real clicks in a real browser, on real data."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from platform_steps import as_json, canfleet
from playwright.sync_api import expect

from canfleet.child import ChildPlatform

pytestmark = pytest.mark.platform
expect.set_options(timeout=60_000)


def test_the_overview_shows_what_the_api_says(visit: Callable, platform: ChildPlatform, fleet: str) -> None:
    window = visit()
    page = window.page
    page.goto(platform.url)
    page.get_by_label("API key").fill(fleet)
    page.get_by_role("button", name="Open").click()
    page.wait_for_selector("#state.live")
    headers = {"X-API-Key": fleet}
    numbers = httpx.get(f"{platform.url}/v1/fleet/summary", headers=headers, timeout=30).json()
    tile = page.locator(".tiles > div", has_text="Vehicles online")
    expect(tile).to_contain_text(f"of {numbers['vehicles']}")
    expect(page.locator(".tiles > div", has_text="Dead letters")).to_contain_text("4")
    row = page.get_by_role("table", name="What became of the frames received").get_by_role("row", name="all time")
    expect(row).to_contain_text(f"{numbers['ledger']['received']:,}")
    kinds = page.get_by_role("table", name="Anomalies by kind").locator("tbody tr")
    expect(kinds).to_have_count(sum(1 for count in numbers["anomalies"].values() if count))
    expect(page.locator("canvas[role=application]")).to_have_attribute(
        "aria-label", re.compile("12 vehicles with a position")
    )
    assert "key" not in page.url


def test_every_view_opens_with_a_click(visit: Callable, fleet: str) -> None:
    window = visit()
    page = window.page
    window.open(fleet)
    for name, place, shown in (
        ("Map", "map", "12 of 13 vehicles say where they are"),
        ("Vehicles", "vehicles", "13 found."),
        ("Anomalies", "anomalies", " found."),
        ("Signals", "signals", "vehicles sent"),
        ("Geofences", "geofences", "500 m around a point"),
        ("Dead letters", "letters", "4 in all, 4 shown."),
        ("Overview", "", "Newest anomalies"),
    ):
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.locator("#view")).to_contain_text(shown)
        assert page.url.endswith(f"#/{place}")
        assert page.get_by_role("navigation").locator("[aria-current=page]").inner_text() == name
        assert page.evaluate("document.activeElement.id") == "title"
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters")


def test_a_vehicle_is_found_by_the_keyboard_alone(visit: Callable, fleet: str) -> None:
    window = visit()
    page = window.page
    window.open(fleet)
    page.wait_for_function("() => document.querySelector('#view canvas')?.getAttribute('aria-label').includes(' 12 ')")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav, header') !== null")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"
    page.keyboard.type("veh-00003")
    expect(page.locator("#found a")).to_have_text(["veh-00003"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("veh-00003")
    expect(page.get_by_role("meter", name="EngineSpeed")).to_have_attribute(
        "aria-valuetext", re.compile(r"[\d,.]+ rpm")
    )
    expect(page.locator("table.signals tbody tr")).not_to_have_count(0)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement !== document.body")
        assert page.evaluate(outline) != "none", page.evaluate("document.activeElement.outerHTML")


def test_anomalies_are_filtered(visit: Callable, fleet: str, platform: ChildPlatform) -> None:
    window = visit()
    page = window.page
    window.open(fleet, "anomalies")
    rows = page.locator("table tbody tr")
    found = httpx.get(f"{platform.url}/v1/anomalies", headers={"X-API-Key": fleet}, timeout=30).json()["anomalies"]
    expect(rows).to_have_count(len(found))
    kind = found[0]["kind"]
    page.get_by_label("Kind").select_option(kind)
    expect(rows).to_have_count(sum(one["kind"] == kind for one in found))
    assert f"kind={kind}" in page.url
    page.get_by_label("Vehicle", exact=True).fill("gappy")
    page.get_by_label("Kind").select_option("out_of_range")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("EngineSpeed is 9000, outside 0 to 8000")
    rows.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("gappy")
    expect(page.locator("figure[data-signal=EngineSpeed] .plot")).to_have_attribute(
        "aria-label", re.compile("1 anomaly")
    )
    page.go_back()
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(len(found))


def test_dead_letters_are_shown_sent_again_and_kept_from_others(
    visit: Callable, fleet: str, platform: ChildPlatform
) -> None:
    window = visit()
    page = window.page
    window.open(fleet, "letters")
    rows = page.locator("table tbody tr")
    expect(rows).to_have_count(4)
    page.get_by_label("Reason").select_option("timestamp_in_future")
    expect(rows).to_have_count(3)
    rows.first.get_by_role("button", name="Send").click()
    expect(page.locator("#view [role=status]")).to_contain_text("0 accepted, 0 had been before, 1 stay")
    made = canfleet(platform, "keys", "create", "--fleet", "page", "--scope", "query", "--json")
    other = visit()
    other.open(as_json(made)["key"], "letters")
    expect(other.page.get_by_role("alert").last).to_contain_text("need a key with scope")
    # A browser writes a line into its console for each answer that is no success.
    assert [text for text in other.errors if "403" not in text] == []
    other.errors.clear()


def test_a_wrong_key_is_refused_in_words(visit: Callable, platform: ChildPlatform) -> None:
    window = visit()
    page = window.page
    page.goto(platform.url)
    page.get_by_label("API key").fill("cf_abcdefghijkl_wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#login-error")).not_to_be_empty()
    assert page.evaluate("sessionStorage.length") == 0
    assert page.evaluate("document.activeElement.id") == "key"
    [error] = window.errors
    assert "401" in error
    window.errors.clear()


def test_a_lost_connection_is_told_and_comes_back(visit: Callable, fleet: str) -> None:
    window = visit()
    page = window.page
    tries = []

    def refuse(route: object) -> None:
        tries.append(1)
        if len(tries) <= 2:
            route.abort()  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    page.route("**/v1/live", refuse)
    page.goto(f"{window.url}/#key={fleet}")
    expect(page.locator("#state")).to_have_text(re.compile(r"reconnecting in \d+ s"))
    expect(page.locator("#state")).to_have_text("live")
    assert len(tries) == 3
    assert all("ERR_FAILED" in text for text in window.errors)
    window.errors.clear()
