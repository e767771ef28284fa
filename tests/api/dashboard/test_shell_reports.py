"""Reports: the operator reads what visitors reported, warns of a link or not; others never see it."""

from typing import Any

import httpx
import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=window.ran=1> asks for my bank’s password"


def reported(dashboard: Dashboard, slug: str) -> tuple[str, str]:
    """Make a link that a visitor has reported. Returns its path in the API, and the address that the screen
    shows."""
    with dashboard.engine.api() as client:
        body = {"slug": slug, "target": f"https://bank.example/{slug}"}
        link = client.post("/v1/links", json=body).raise_for_status().json()
    url: str = link["url"]
    page = httpx.get(f"{url}+")
    token = page.text.partition('name=token value="')[2].partition('"')[0]
    form = {"token": token, "category": "phishing", "details": HOSTILE}
    assert httpx.post(f"{url}+", data=form).status_code == 200
    return f"/v1/links/{link['id']}", url.removeprefix("http://")


def row_of(page: Any, address: str) -> Any:
    return page.locator(".reports > li").filter(has_text=address)


def test_the_operator_answers_reports(dashboard: Dashboard) -> None:
    link, warned = reported(dashboard, "reported-a")
    other_link, harmless = reported(dashboard, "reported-b")

    def work(screen: Screen) -> list[str]:
        page = screen.page
        screen.open("/system/reports")
        row = row_of(page, warned)
        row.locator(f"blockquote:text-is('{HOSTILE}')").wait_for()
        row.locator("text=1 visitor: 1 × phishing").wait_for()
        screen.assert_sound()
        faults = screen.axe_faults()
        row.locator("button:text-is('Warn visitors')").click()
        page.fill("dialog input[name=reason]", "a copy of a bank’s page")
        page.click("dialog button[type=submit]")
        row.wait_for(state="detached")
        row_of(page, harmless).locator("button:text-is('Nothing is wrong')").click()
        page.click("dialog button[type=submit]")
        row_of(page, harmless).wait_for(state="detached")
        assert page.evaluate("window.ran") is None
        return faults

    assert dashboard.run(work) == []
    with dashboard.engine.api() as client:
        reason = client.get(link).json()["engine_quarantine"]["reason"]
        assert reason == "a copy of a bank’s page"
        assert client.get(other_link).json()["engine_quarantine"] is None


def test_only_the_operator_is_led_there(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/account")
        page.wait_for_selector("nav a[data-name=reports]")
        whole = page.request.get(f"{screen.url}/v1/session").json()
        assert whole["is_operator"]
        page.route(
            "**/v1/session", lambda route: route.fulfill(json=whole | {"is_operator": False})
        )
        screen.open("/account")
        page.wait_for_selector("nav a[data-name=jobs]")
        assert page.locator("nav a[data-name=reports], nav a[data-name=system]").count() == 0
        page.keyboard.press("Control+k")
        page.fill("dialog.palette input", "jobs")
        page.wait_for_selector("dialog.palette [role=option]")
        page.fill("dialog.palette input", "reports")
        page.wait_for_selector("dialog.palette [role=option]", state="detached")

    dashboard.run(work)
