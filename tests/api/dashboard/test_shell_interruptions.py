"""What comes between: another zone, an engine that restarts. Nothing typed is lost, and the screen says so."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit.browser import BrowserThread, program
from tests.kit.dashboards import Dashboard, Screen
from tests.kit.engines import Engine

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

KEPT = ".asof:has-text('Draft kept')"


@pytest.fixture
def traveller(dashboard: Dashboard) -> Iterator[Dashboard]:
    """The session's engine in a Chromium of its own: a process has one zone, and others' tests set theirs."""
    path = program()
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium")
    browser = BrowserThread(path)
    yield Dashboard(dashboard.engine, browser)
    browser.close()


def test_a_reader_who_comes_into_another_zone_gets_its_days(traveller: Dashboard) -> None:
    """A laptop that travels: the next answer is by the new zone, without a load."""
    dashboard = traveller
    httpx.get(f"{dashboard.engine.visitors}/demo/spring", timeout=10)
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> None:
        page = screen.page
        devtools = page.context.new_cdp_session(page)
        devtools.send("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Rome"})
        with page.expect_request("**/stats/batch") as asked:
            screen.open("/p/demo")
        assert asked.value.post_data_json["questions"][0]["tz"] == "Europe/Rome"
        page.wait_for_selector("a.kpi strong")
        devtools.send("Emulation.setTimezoneOverride", {"timezoneId": "Pacific/Auckland"})
        with page.expect_request("**/stats/batch") as asked:
            page.keyboard.press("r")
        assert asked.value.post_data_json["questions"][0]["tz"] == "Pacific/Auckland"
        page.wait_for_selector(".period:has-text('Auckland')")
        screen.assert_sound()

    dashboard.run(work, timezone_id=None)


@pytest.mark.large
@pytest.mark.timeout(400)
def test_an_engine_that_restarts_costs_nothing_typed(
    tmp_path: Path, chromium: BrowserThread
) -> None:
    arguments = ("--demo=links", "--edges", "1")
    first = Engine(tmp_path / "data", *arguments)
    ports = [re.sub(r".*:", "", url) for url in (first.visitors, first.console)]
    again: list[Engine] = []

    def work(screen: Screen) -> None:
        page = screen.page
        overview = page.context.new_page()
        overview.goto(f"{screen.url}/p/demo")
        overview.wait_for_selector(".feed[data-state=open]")
        screen.open("/p/demo/page?tab=header")
        page.fill("textarea[name=bio]", "Before the restart")
        page.wait_for_selector(KEPT)
        first.stop()
        page.fill("textarea[name=bio]", "Typed while it was away")
        page.wait_for_selector(".asof.bad, .asof.warn")
        assert page.input_value("textarea[name=bio]") == "Typed while it was away"
        overview.bring_to_front()
        overview.wait_for_selector(".asof.warn:has-text('Not reached since')", timeout=60_000)
        again.append(
            Engine(
                tmp_path / "data",
                *arguments,
                "--visitors-port",
                ports[0],
                "--console-port",
                ports[1],
            )
        )
        page.bring_to_front()
        page.wait_for_selector(KEPT, timeout=60_000)
        overview.bring_to_front()
        overview.wait_for_selector(".asof:not(.warn):has-text('Counted')", timeout=60_000)
        overview.wait_for_selector(".feed[data-state=open]", timeout=60_000)
        with again[0].api() as client:
            profile = client.get("/v1/profiles?handle=demo").json()["items"][0]
            draft = client.get(f"/v1/profiles/{profile['id']}/page/draft").json()
        assert draft["bio"] == "Typed while it was away"
        screen.faults.clear()  # Chromium reports what it could not load meanwhile

    try:
        Dashboard(first, chromium).run(work, timeout_s=350)
    finally:
        for engine in (first, *again):
            engine.kill()
