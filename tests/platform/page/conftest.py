"""A browser on the page of the folder's platform, and fleets of its own to look at."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from page_fleet import BEGIN_US, CROWD, ENGINE, POSITION, Visit, engine, frames, made_fleet, places, send, summary
from platform_steps import as_json, canfleet, eventually
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from canfleet.child import ChildPlatform

CHROMIUM = shutil.which("chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs the browser."""
    if CHROMIUM is None:
        for item in items:
            if "platform/page/" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="no chromium here: apt-get install chromium"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module at a time: while it is there, an event loop runs in this thread, and `asyncio.run` cannot."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def visit(browser: Browser, platform: ChildPlatform) -> Iterator[Callable[..., Visit]]:
    """Opens windows; at the end none of them may have seen an error, nor have sent a key in an address."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def opened(width: int = 1400, height: int = 1000, **options: Any) -> Visit:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        contexts[-1].set_default_timeout(60_000)
        one = Visit(contexts[-1].new_page(), platform.url)
        one.page.on("console", lambda message: one.errors.append(message.text) if message.type == "error" else None)
        one.page.on("pageerror", lambda error: one.errors.append(str(error)))
        one.page.on("request", lambda request: one.asked.append(request.url))
        visits.append(one)
        return one

    yield opened
    for context in contexts:
        context.close()
    for one in visits:
        assert one.errors == []
        assert all(url.startswith(platform.url) and "cf_" not in url for url in one.asked)


@pytest.fixture(scope="session")
def fleet(platform: ChildPlatform) -> str:
    """The key of a small fleet that drove for some seconds; one vehicle has three hours behind it, with a hole."""
    key = made_fleet(platform, "page")
    options = ["--vehicles", "12", "--duration", "14", "--anomalies", "1.0", "--json"]
    as_json(canfleet(platform, "simulate", *options, key=key))
    seconds = np.arange(3 * 3600)
    seconds = seconds[(seconds < 6000) | (seconds >= 6900)]  # a quarter of an hour is missing
    rpm = 2000 + 500 * np.sin(seconds / 300)
    rpm[3000] = 9000.0  # the database says 8000 at most
    send(platform, key, frames(["gappy"] * len(seconds), BEGIN_US + seconds * 1_000_000, ENGINE, engine(rpm)))
    # In the past, and far from where it drives: to a depot, and away from it.
    passing = places(np.array([46.4, 46.5, 46.6]), np.array([7.5, 7.5, 7.5]))
    send(platform, key, frames(["veh-00001"] * 3, BEGIN_US + np.arange(3) * 60_000_000, POSITION, passing))
    bad = "\n".join(
        f'{{"vehicle_id": "veh-bad", "timestamp": 4102444800000000, "arbitration_id": {i}, "data": ""}}'
        for i in range(3)
    )
    headers = {"X-API-Key": key, "Content-Type": "application/x-ndjson"}
    answer = httpx.post(f"{platform.url}/v1/frames", content=f"{bad}\nno json\n", headers=headers, timeout=60)
    assert answer.json()["dead_lettered"] == 4
    counted = eventually(lambda: summary(platform, key)["ledger"], lambda ledger: ledger["pending"] == 0, 60)
    assert counted["pending"] == 0
    return key


@pytest.fixture(scope="session")
def crowd(platform: ChildPlatform) -> str:
    """The key of a fleet of `CROWD` vehicles, each of which has told three places."""
    key = made_fleet(platform, "crowd")
    names = [f"taxi-{i:05d}" for i in range(CROWD)]
    draw = np.random.default_rng(3)
    latitude, longitude = draw.uniform(46, 54, CROWD), draw.uniform(6, 18, CROWD)
    latitude[0], longitude[0] = 60.0, 30.0  # alone, to be clicked
    for step in range(3):
        at = np.full(CROWD, time.time_ns() // 1000 + step)
        send(platform, key, frames(names, at, POSITION, places(latitude + step * 0.001, longitude)))
    eventually(lambda: summary(platform, key)["vehicles_online"], lambda count: count == CROWD, 60)
    return key
