"""Conversions: an order after a click is shown by link and campaign, in its currency, and filters the rest."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.kit.dashboards import Dashboard, Screen
from tests.kit.engines import eventually

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def sell(dashboard: Dashboard, handle: str) -> None:
    """Make a profile with a link, click on it, and report orders in two currencies."""
    engine = dashboard.engine
    with engine.api() as client:
        profile = client.post("/v1/profiles", json={"handle": handle}).json()["id"]
        draft = {"slug": "bag", "title": "The <b>bag</b>", "target": "https://example.com/"}
        client.post(f"/v1/profiles/{profile}/links", json=draft | {"click_id": True})

        def click() -> str:
            url = f"{engine.visitors}/{handle}/bag?utm_campaign=autumn"
            target = httpx.get(url, headers={"User-Agent": FIREFOX}).headers["Location"]
            return parse_qs(urlsplit(target).query)["wp_click"][0]

        for n, currency in enumerate(("EUR", "EUR", "USD")):
            order = {"name": "sale", "order_id": f"{handle}-{n}", "value": "40.50"}
            body = order | {"click_id": click(), "currency": currency}
            assert client.post("/v1/conversions", json=body).is_success

        def counted() -> bool:
            # A click's campaign is copied to its conversions a little later than both are counted.
            query = "metrics=conversions,clicks&group=utm_campaign"
            rows = client.get(f"/v1/profiles/{profile}/stats?{query}").json()["rows"]
            return bool(rows == [{"utm_campaign": "autumn", "conversions": 3, "clicks": 3}])

        eventually(counted)


def test_orders_are_shown_in_their_currency_and_filter_the_rest(dashboard: Dashboard) -> None:
    sell(dashboard, "seller")

    def work(screen: Screen) -> list[str]:
        page = screen.page
        screen.open("/p/seller/conversions")
        page.wait_for_selector(".kpi:has-text('Revenue in EUR'):has-text('€81.00')")
        page.wait_for_selector(".list tr:has-text('The <b>bag</b>')")
        screen.assert_sound()
        faults = screen.axe_faults()
        page.emulate_media(color_scheme="dark")
        faults += screen.axe_faults()
        page.click("button:has-text('USD')")
        page.wait_for_selector(".kpi:has-text('Revenue in USD'):has-text('40.50')")
        page.click(".cell:has-text('autumn')")
        page.wait_for_selector(".chip:has-text('Campaign is autumn')")
        assert "currency=USD" in page.url
        page.click(".kpi:has-text('Rate')")
        page.click("button:has-text('Table')")
        page.wait_for_selector(".plot caption", state="attached")
        screen.assert_sound()
        return faults

    assert dashboard.run(work) == []


@pytest.mark.large
def test_a_profile_without_conversions_says_how_they_come(dashboard: Dashboard) -> None:
    with dashboard.engine.api() as client:
        client.post("/v1/profiles", json={"handle": "unsold"})

    def work(screen: Screen) -> None:
        screen.open("/p/unsold/conversions")
        screen.page.wait_for_selector("text=No conversions yet")
        screen.assert_sound()

    dashboard.run(work)
