"""Webhooks: one is made and tested, paused, rotated and deleted; what failed is counted and sent again."""

from typing import Any

import pytest

from tests.kit.dashboards import Dashboard, Screen
from tests.kit.loopback_hooks import LoopbackHooks, receiving

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def new_webhook(dashboard: Dashboard, handle: str, hooks: LoopbackHooks) -> str:
    """Make a profile with a webhook, and return the path of its screen."""
    with dashboard.engine.api() as client:
        profile = client.post("/v1/profiles", json={"handle": handle}).json()
        draft: dict[str, Any] = {"url": hooks.url, "event_types": ["link.*"], "description": "Shop"}
        hook = client.post(f"/v1/profiles/{profile['id']}/webhooks", json=draft).json()
    return f"/p/{handle}/webhooks/{hook['id']}"


def test_a_webhook_is_made_and_tested(dashboard: Dashboard) -> None:
    with dashboard.engine.api() as client:
        client.post("/v1/profiles", json={"handle": "hooked"})

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/hooked/webhooks")
        page.wait_for_selector("text=No webhook yet")
        screen.assert_sound()
        page.click(".top a:has-text('New webhook')")
        page.fill("dialog input[name=url]", "https://10.0.0.1/")
        page.click("dialog button:has-text('Create')")
        page.wait_for_selector("dialog .field small.bad:not([hidden])")
        page.fill("dialog input[name=url]", hooks.url)
        page.fill("dialog input[name=event_types]", "link.*")
        page.click("dialog summary")
        page.uncheck("dialog .eventlist li:has-text('link.deleted') input")
        assert "link.created" in page.input_value("dialog input[name=event_types]")
        assert "link.deleted" not in page.input_value("dialog input[name=event_types]")
        screen.assert_sound()
        page.click("dialog button:has-text('Create')")
        page.wait_for_selector("dialog .secret:has-text('whsec_')")
        page.click("dialog button:has-text('I have kept it')")
        page.click("button:has-text('Send test')")
        page.wait_for_selector(".dl tr:has-text('endpoint.test'):has-text('delivered')")
        page.click("button:has-text('Table')")
        page.wait_for_selector("caption:has-text('Deliveries a day')", state="attached")
        screen.assert_sound()

    with receiving() as hooks:
        dashboard.run(work)


def test_what_failed_is_seen_counted_and_sent_again(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open(path)
        page.click("button:has-text('Send test')")
        page.wait_for_selector(".dl tr:has-text('endpoint.test'):has-text('503')")
        page.wait_for_selector(".top .tag:has-text('fails')")
        page.wait_for_selector("[role=status]:has-text('1 event would be sent again')")
        page.click(".dl a:has-text('endpoint.test')")
        page.wait_for_selector("dialog pre:has-text('closed for <b>repairs</b>')")
        assert "delivery=" in page.url
        screen.assert_sound()
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        hooks.status = 204
        page.click("button:has-text('Send 1 again')")
        page.wait_for_selector(".toast:has-text('1 event will be sent again')")
        page.wait_for_selector(".dl tr:has-text('endpoint.test'):has-text('delivered')")
        page.wait_for_selector(".top .tag:has-text('sends')")
        page.select_option("select[aria-label=Type]", "link.created")
        page.wait_for_selector("text=No delivery is like that")
        screen.assert_sound()

    with receiving() as hooks:
        hooks.status = 503
        path = new_webhook(dashboard, "unwell", hooks)
        dashboard.run(work)


@pytest.mark.large
def test_a_webhook_is_paused_changed_rotated_and_deleted(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open(path)
        page.click("button:has-text('Pause')")
        page.wait_for_selector(".top .tag:has-text('paused')")
        assert page.locator("button:has-text('Send test')").is_disabled()
        page.click("button:has-text('Enable')")
        page.wait_for_selector(".top .tag:has-text('sends')")
        page.fill("form input[name=max_rate]", "20000")
        page.click("form button:has-text('Save')")
        page.wait_for_selector("[data-name=max_rate] small.bad:not([hidden])")
        page.fill("form input[name=max_rate]", "20")
        page.click("form button:has-text('Save')")
        page.wait_for_selector(".kv dd:has-text('20')")
        page.click("button:has-text('Rotate…')")
        page.click("dialog button:has-text('Rotate')")
        page.wait_for_selector("dialog .secret:has-text('whsec_')")
        page.click("dialog button:has-text('I have kept it')")
        page.wait_for_selector("dt:has-text('The old one signs too')")
        screen.assert_sound()
        page.click("button:has-text('Delete…')")
        page.click("dialog button[type=submit]")
        page.wait_for_selector("text=No webhook yet")

    with receiving() as hooks:
        path = new_webhook(dashboard, "changed", hooks)
        dashboard.run(work)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(dashboard: Dashboard, scheme: str) -> None:
    def work(screen: Screen) -> list[str]:
        screen.open(path.rpartition("/")[0])
        screen.page.wait_for_selector(".hooks .figures small")
        faults = screen.axe_faults()
        screen.open(path)
        screen.page.wait_for_selector(".kv dd")
        return faults + screen.axe_faults()

    with receiving() as hooks:
        path = new_webhook(dashboard, f"axe-hooks-{scheme}", hooks)
        assert dashboard.run(work, color_scheme=scheme) == []
