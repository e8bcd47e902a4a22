"""The page on a phone, in the dark, in a crowd of 10,000, and for who does not see it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from page_fleet import CROWD, ENGINE, engine, frames, send
from playwright.sync_api import expect

from canfleet.child import ChildPlatform

pytestmark = pytest.mark.platform
CUT_OFF = (
    """() => [...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).length"""
)
CONTRAST = """() => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const ground = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const found = rgb(getComputedStyle(at).backgroundColor);
            if (found.length === 3 || found[3] > 0) return found;
        }
    };
    const written = (one) => [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const texts = [...document.querySelectorAll('body *')].filter((one) =>
        one.checkVisibility() && !one.disabled && !one.closest('svg') && written(one));
    const ratios = texts.map((one) => {
        const [a, b] = [light(rgb(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
        return [(a + 0.05) / (b + 0.05), one.outerHTML.slice(0, 90)];
    });
    ratios.sort((a, b) => a[0] - b[0]);
    return [ratios[0], light(rgb(getComputedStyle(document.body).backgroundColor)), texts.length];
}"""
"""The lowest contrast (WCAG 2.2, 1.4.3) of all text in sight, the luminance of the ground, and how many texts."""
LONELY = """async () => {
    const { Viewport, toX, toY } = await import('/page/map/projection.js');
    const { clientWidth: width, clientHeight: height } = document.querySelector('canvas[role=application]');
    const view = Object.assign(new Viewport(), { width, height });
    const headers = { Authorization: `Bearer ${sessionStorage.getItem('canfleet-key')}` };
    const told = await (await fetch('/v1/fleet/positions', { headers })).json();
    view.fit(told.longitude.map(toX), told.latitude.map(toY), told.longitude.length);
    const row = told.vehicle_id.indexOf('taxi-00000');
    return [view.screenX(toX(told.longitude[row])), view.screenY(toY(told.latitude[row]))];
}"""
"""Where the map shows the vehicle that stands alone."""
PLACES = ("", "map", "vehicles", "vehicle/veh-00001", "anomalies", "signals", "geofences", "letters")


@pytest.mark.parametrize("width", [390, 1280, 1400])
def test_nothing_is_cut_off(visit: Callable, fleet: str, width: int) -> None:
    window = visit(width, 844, has_touch=width < 500, is_mobile=width < 500)
    page = window.page
    window.open(fleet)
    for place in PLACES:
        window.go(place)
        page.wait_for_timeout(300)
        expect(page.locator("#view table tbody tr, #view canvas").first).to_be_visible()
        assert window.width() <= 0, f"{place} is too wide"
        if width >= 1280:
            # Tables have room enough there; on a phone each scrolls by itself.
            assert page.evaluate(CUT_OFF) == 0, f"a table of {place} is cut off"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_are_readable(visit: Callable, fleet: str, scheme: str) -> None:
    window = visit(color_scheme=scheme)
    page = window.page
    window.open(fleet, "vehicle/veh-00001")
    expect(page.locator("figure.chart canvas").first).to_be_visible()
    lowest = page.evaluate(CONTRAST)
    assert lowest[0][0] >= 4.5, lowest[0]
    assert lowest[2] > 50
    assert (lowest[1] < 0.1) == (scheme == "dark")


def test_a_new_anomaly_is_said(visit: Callable, fleet: str, platform: ChildPlatform) -> None:
    window = visit()
    page = window.page
    window.open(fleet)
    now = time.time_ns() // 1000
    at = [now - 1_000_000, now]
    send(platform, fleet, frames(["veh-00005", "veh-00005"], at, ENGINE, engine([2000.0, 9500.0])))
    log = page.get_by_role("log")
    expect(log).to_contain_text(re.compile("out of range, EngineSpeed, veh-00005"))
    assert log.get_attribute("aria-live") == "polite"
    expect(page.get_by_role("table", name="Newest anomalies").locator("tbody tr").first).to_contain_text("veh-00005")


def test_ten_thousand_vehicles_move_smoothly(
    visit: Callable, crowd: str, record_property: Callable[[str, object], None]
) -> None:
    window = visit()
    page = window.page
    window.open(crowd, "map")
    canvas = page.locator("canvas[role=application]")
    expect(canvas).to_have_attribute(
        "aria-label", re.compile(f"{CROWD:,} vehicles with a position, {CROWD:,} in sight")
    )
    box = canvas.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate(
        """() => {
            performance.clearMeasures('map draw');
            globalThis.frames = [];
            let before = performance.now();
            const note = (now) => { globalThis.frames.push(now - before); before = now; requestAnimationFrame(note); };
            requestAnimationFrame(note);
        }"""
    )
    page.mouse.move(*middle)
    page.mouse.down()
    for step in range(60):
        page.mouse.move(middle[0] + 3 * step, middle[1] + 2 * step)
    page.mouse.up()
    for turn in range(20):
        page.mouse.wheel(0, -120 if turn < 10 else 120)
    draws, passed = page.evaluate(
        "() => [performance.getEntriesByName('map draw').map((one) => one.duration), globalThis.frames]"
    )
    assert len(draws) > 20
    for name, values in (("draw", sorted(draws)), ("frame", sorted(passed))):
        figures = {part: round(values[int(part / 100 * (len(values) - 1))], 1) for part in (50, 95, 100)}
        record_property(f"{name}_ms", figures)
        print(f"{CROWD} vehicles, {name}: {figures} ms of {len(values)}")
    page.get_by_role("button", name="Show all").click()
    # The one that stands alone is at the upper right corner of what is shown.
    x, y = page.evaluate(LONELY)
    page.mouse.move(box["x"] + x + 2, box["y"] + y - 2)
    expect(page.locator(".tip")).to_contain_text("taxi-00000")
    page.mouse.click(box["x"] + x + 2, box["y"] + y - 2)
    expect(page.get_by_role("heading", level=1)).to_have_text("taxi-00000")
