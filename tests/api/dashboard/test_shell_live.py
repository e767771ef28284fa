"""Live: a click appears while the screen is open, and can be held."""

import httpx
import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = pytest.mark.slow

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


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
        visit()
        page.wait_for_selector(".now strong:text-is('2')")
        assert page.locator(".feed li.new").count() == 1
        page.click(".top button:has-text('Go on')")
        page.wait_for_selector(".feed li.new + li.new")
        page.click(".bars a.row:has-text('The shop')")
        page.wait_for_selector(".chip:has-text('The shop')")
        screen.assert_sound()

    dashboard.run(work)
