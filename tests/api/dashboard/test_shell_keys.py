"""API keys: one is made with its scopes, shown once, seen at what it did and was refused, and revoked."""

import httpx
import pytest

from tests.kit.dashboards import Dashboard, Screen
from tests.kit.engines import eventually

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def test_a_key_is_made_seen_at_work_and_revoked(dashboard: Dashboard) -> None:
    with dashboard.engine.api() as client:
        profile = client.post("/v1/profiles", json={"handle": "keyed"}).json()

    def refusals() -> int:
        with dashboard.engine.api() as client:
            events = client.get("/v1/security-events").json()["items"]
        return sum("webhooks" in event["detail"].get("route", "") for event in events)

    def work(screen: Screen) -> list[str]:
        page = screen.page
        screen.open("/account/keys?new=1")
        page.click("dialog button:has-text('Make it')")
        page.wait_for_selector("dialog .field small.bad:not([hidden])")
        page.fill("dialog input[name=label]", "Import <i>of</i> links")
        page.check("dialog .scope:has-text('write') input")
        screen.assert_sound()
        page.click("dialog button:has-text('Make it')")
        page.wait_for_selector("dialog .secret:has-text('wp_')")
        key = page.inner_text("dialog .secret")
        page.click("dialog button:has-text('I have kept it')")
        with httpx.Client(
            base_url=screen.url, headers={"Authorization": f"Bearer {key}"}
        ) as client:
            draft = {"target": "https://example.com/"}
            assert client.post(f"/v1/profiles/{profile['id']}/links", json=draft).is_success
            assert client.get(f"/v1/profiles/{profile['id']}/webhooks").status_code == 403
            eventually(lambda: refusals() > 0)  # written within a second
        page.reload()
        page.click(".keylist a:has-text('Import <i>of</i> links')")
        page.wait_for_selector("dialog:has-text('In use during 1 hour on 1 day')")
        page.wait_for_selector("dialog .refused:has-text('Access denied')")
        page.select_option("dialog select[aria-label=Profile]", profile["id"])
        page.wait_for_selector("dialog .changes:has-text('Link created')")
        screen.assert_sound()
        faults = screen.axe_faults()
        page.emulate_media(color_scheme="dark")
        faults += screen.axe_faults()
        page.click("dialog button:has-text('Revoke…')")
        page.click("dialog:last-of-type button[type=submit]")
        page.wait_for_selector(".toast:has-text('revoked')")
        page.wait_for_selector(".keylist a:has-text('Import')", state="detached")
        screen.assert_sound()
        return faults

    assert dashboard.run(work) == []
