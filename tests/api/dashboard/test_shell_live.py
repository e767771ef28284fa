"""Live: a click appears while the screen is open, and can be held."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def _clicks_seen(page: Any) -> int:
    """Return how many clicks of the last hour the screen knows of: other tests click too."""
    return int(re.findall(r"(\d+) seen here", page.inner_text(".now"))[0])


def test_a_click_arrives_and_the_feed_is_held(dashboard: Dashboard) -> None:
    def visit() -> None:
        answer = httpx.get(f"{dashboard.engine.visitors}/demo/shop", headers={"User-Agent": AGENT})
        assert answer.is_redirect

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/live")
        page.wait_for_selector(".asof:has-text('Live')")
        visit()
        page.wait_for_selector(".feed li.new:has-text('Firefox')")
        page.click(".top button:has-text('Pause')")
        seen = _clicks_seen(page)
        visit()
        page.wait_for_selector(f".now:has-text(' {seen + 1} seen here')")
        assert page.locator(".feed li.new").count() == 1
        page.click(".top button:has-text('Go on')")
        page.wait_for_selector(".feed li.new + li.new")
        page.click(".bars a.row:has-text('The shop')")
        page.wait_for_selector(".chip:has-text('The shop')")
        screen.assert_sound()

    dashboard.run(work)


def test_a_click_that_was_among_the_latest_and_then_streamed_stands_once(
    dashboard: Dashboard,
) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        streams: list[Any] = []
        click = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "link": "0"}
        page.route("**/v1/profiles/*/live", lambda route: streams.append(route))
        page.route("**/stats/batch", lambda route: route.fulfill(json={"latest_clicks": [click]}))
        screen.open("/p/demo/live")
        page.wait_for_selector(".feed li:not(.new)")
        streams[0].fulfill(
            content_type="text/event-stream", body=f"event: click\ndata: {json.dumps(click)}\n\n"
        )
        page.wait_for_selector(".feed li.new")
        assert page.locator(".feed li").count() == 1
        assert _clicks_seen(page) == 1

    dashboard.run(work)
