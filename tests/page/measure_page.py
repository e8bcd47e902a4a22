"""How soon the dashboard is there: `python -m tests.page.measure_page`, on an idle machine, with chromium installed.

Starts a platform and a simulated fleet, or takes a running one (`--url`, `--key` of scopes ingest and query). Opens the
overview in headless Chromium, each time in a new profile, so that nothing is cached, and notes when its first content,
its first live number and all vehicles on its map are painted, from the navigation on. Then opens the chart of a vehicle
with three hours behind it and drags over some minutes of it, elsewhere each time, so that no answer is cached: from
letting the button go to the painted chart in the resolution of the new range. Prints JSON: milliseconds.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pyarrow as pa
from playwright.sync_api import Browser, Page, expect, sync_playwright

from canfleet.child import ChildPlatform
from simulator.body import arrow_stream

VEHICLE: Final = "measured"
HOURS: Final = 3
FIGURE: Final = "figure[data-signal=EngineSpeed]"
PATIENCE_S: Final = 300

# A change of the document is in sight after the next frame; a message comes right behind that.
PAINTED: Final = """
    const painted = (done) => requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => done(performance.now());
        port2.postMessage(0);
    });
"""
FIRSTS: Final = f"""(() => {{
    {PAINTED}
    globalThis.firsts = {{}};
    const asked = new Set();
    const first = (name) => {{
        if (asked.has(name)) return;
        asked.add(name);
        painted((now) => {{ firsts[name] = now; }});
    }};
    new MutationObserver(() => {{
        if (/\\d/.test(document.querySelector('.tiles dd')?.textContent ?? '')) first('first_number');
        const told = document.querySelector('canvas[role=application]')?.getAttribute('aria-label') ?? '';
        if (/: [1-9][\\d,]* vehicles/.test(told)) first('map');
    }}).observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
}})()"""
ZOOMS: Final = f"""() => {{
    {PAINTED}
    globalThis.zooms = [];
    let begun = null;
    const plot = document.querySelector('{FIGURE} .u-over');
    addEventListener('mouseup', (event) => {{ if (event.target === plot) begun = event.timeStamp; }}, true);
    new MutationObserver(() => {{
        const from = begun;
        begun = null;
        if (from !== null) painted((now) => zooms.push(now - from));
    }}).observe(document.querySelector('{FIGURE}'), {{ attributes: true, attributeFilter: ['data-resolution'] }});
}}"""


def told(values: list[float]) -> dict[str, Any]:
    """Median, worst and all, in milliseconds."""
    all_ms = [round(value, 1) for value in values]
    return {"median": round(statistics.median(all_ms), 1), "worst": max(all_ms), "all": all_ms}


def first_paints(browser: Browser, url: str, key: str, repeats: int) -> dict[str, list[float]]:
    """Open the overview, once more than is counted."""
    found: dict[str, list[float]] = {"first_contentful_paint": [], "first_number": [], "map": []}
    for turn in range(repeats + 1):
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.add_init_script(FIRSTS)
        page = context.new_page()
        page.goto(f"{url}/#key={key}")
        page.wait_for_function("() => 'first_number' in firsts && 'map' in firsts", timeout=60_000)
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        firsts = page.evaluate(f"({{ ...firsts, first_contentful_paint: {paint} }})")
        for name in found if turn else ():
            found[name].append(firsts[name])
        context.close()
    return found


def zooms(browser: Browser, url: str, key: str, begin_us: int, repeats: int) -> list[float]:
    """Drag over eight minutes of the chart and go back, once more than is counted."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    end_us = begin_us + HOURS * 3_600_000_000
    page.goto(f"{url}/#key={key}")
    page.wait_for_selector("#state.live")
    place = f"#/vehicle/{VEHICLE}?charts=EngineData.EngineSpeed&from={begin_us}&to={end_us}"
    page.evaluate("place => { location.hash = place }", place)
    figure = page.locator(FIGURE)
    expect(figure).to_have_attribute("data-resolution", re.compile(r"^\d+s$"), timeout=60_000)
    page.evaluate(ZOOMS)
    for turn in range(repeats + 1):
        _drag(page, (10 + 12 * turn) / (60 * HOURS), (18 + 12 * turn) / (60 * HOURS))
        expect(figure).to_have_attribute("data-resolution", "raw", timeout=30_000)
        page.wait_for_function("count => zooms.length === count", arg=turn + 1)
        page.get_by_role("button", name="Back to the range before").click()
        expect(figure).not_to_have_attribute("data-resolution", "raw", timeout=30_000)
        page.wait_for_timeout(500)  # its trips and anomalies come after it
    found: list[float] = page.evaluate("zooms")
    page.close()
    return found[1:]


def _drag(page: Page, begin: float, end: float) -> None:
    box = page.locator(f"{FIGURE} .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * begin, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, box["y"] + 60, steps=5)
    page.mouse.up()


def send_past(url: str, key: str) -> int:
    """Three hours of EngineData at 1 Hz, up to an hour ago; when they begin (µs)."""
    n = HOURS * 3600
    begin_us = (int(time.time()) // 60 * 60 - 3600 - n) * 1_000_000
    speed = np.round((2000 + 500 * np.sin(np.arange(n) / 300)) * 4).astype("<u8")
    data = (speed | np.uint64((1000 << 36) + (1000 << 47))).astype("<u8")
    batch = pa.record_batch(
        {
            "vehicle_id": pa.array([VEHICLE] * n),
            "timestamp": pa.array(begin_us + np.arange(n) * 1_000_000, pa.timestamp("us", tz="UTC")),
            "arbitration_id": pa.array(np.full(n, 256), pa.uint32()),
            "data": pa.array([one.tobytes() for one in data], pa.binary()),
        }
    )
    headers = {"X-API-Key": key, "Content-Type": "application/vnd.apache.arrow.stream"}
    answer = httpx.post(f"{url}/v1/frames", content=arrow_stream(batch), headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text
    return begin_us


def wait_until(what: str, wanted: int, read: Callable[[], int]) -> None:
    """Ask once a second, for `PATIENCE_S` at most."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := read()) < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: {found} of {wanted} within {PATIENCE_S} s")
        time.sleep(1)


@contextmanager
def own_platform(vehicles: int, rate: float) -> Iterator[tuple[str, str]]:
    """A platform of its own, and a fleet that drives while it is measured: its URL and key."""
    with tempfile.TemporaryDirectory() as folder, ChildPlatform(Path(folder)) as platform:
        command = [sys.executable, "-m", "canfleet", "simulate", "--url", platform.url, "--key", platform.key]
        command += ["--vehicles", str(vehicles), "--rate", str(rate)]
        driving = subprocess.Popen(command, stdout=sys.stderr)
        try:
            yield platform.url, platform.key
        finally:
            driving.terminate()
            driving.wait()


def measured(url: str, key: str, vehicles: int, repeats: int) -> dict[str, Any]:
    """Wait until all vehicles have a place and the past is stored, and measure."""
    begin_us = send_past(url, key)
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=60) as http:

        def placed() -> int:
            return sum(at > 0 for at in http.get("/v1/fleet/positions").json()["positioned_at"])

        def stored() -> int:
            asked = {"from": begin_us, "to": begin_us + HOURS * 3_600_000_000, "step": "1h"}
            answer = http.get(f"/v1/vehicles/{VEHICLE}/signals/EngineSpeed", params=asked).json()
            return sum(point["count"] or 0 for point in answer["points"])

        wait_until("vehicles with a place", vehicles, placed)
        wait_until("values stored of the past", HOURS * 3600, stored)
        frames_per_s = http.get("/v1/fleet/summary").json()["frames_per_second"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        paints = first_paints(browser, url, key, repeats)
        figures = {name: told(values) for name, values in paints.items()}
        figures["zoom"] = told(zooms(browser, url, key, begin_us, repeats))
        browser.close()
    return {"vehicles": vehicles, "frames_per_s": round(frames_per_s), "repeats": repeats, "ms": figures}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a running platform, with a fleet that drives; else one is started")
    parser.add_argument("--key", help="its key")
    parser.add_argument("--vehicles", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1.0, help="frames a second and vehicle, of the own fleet")
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    if given.url:
        figures = measured(given.url, given.key, given.vehicles, given.repeats)
    else:
        with own_platform(given.vehicles, given.rate) as (url, key):
            figures = measured(url, key, given.vehicles, given.repeats)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
