"""Team: an invitation whose address is shown once, a member's role, removal with Undo, the last owner."""

import json

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def test_somebody_is_invited_joins_gets_a_role_and_stays_by_undo(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/team")
        page.click("button:has-text('Invite')")
        page.fill("dialog input[name=email]", "nobody")
        page.click("dialog button:has-text('Make the invitation')")
        page.wait_for_selector("dialog .field small.bad:not([hidden])")
        page.fill("dialog input[name=email]", "katherine@example.com")
        page.click("dialog button:has-text('Make the invitation')")
        page.wait_for_selector("dialog .secret")
        url = page.inner_text("dialog .secret")
        assert url.startswith(f"{screen.url}/join#")
        page.click("dialog button:has-text('I have kept it')")
        page.wait_for_selector(".team li:has-text('katherine@example.com') button")
        screen.assert_sound()
        body = {
            "token": url.rsplit("#", 1)[1],
            "password": "a long sentence is best",
            "name": "Katherine Johnson",
        }
        browser = page.context.browser.new_context()  # without the owner's session
        answer = browser.request.post(
            f"{screen.url}/v1/invitations/accept",
            data=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        browser.close()
        assert answer.ok, answer.text()
        screen.open("/p/demo/team")
        page.select_option("select[aria-label='Role of Katherine Johnson']", "viewer")
        page.wait_for_selector(".toast:has-text('Katherine Johnson is viewer')")
        page.click("button[aria-label='Remove Katherine Johnson']")
        page.click(".toast:has-text('removed') button:has-text('Undo')")
        page.wait_for_selector("button[aria-label='Remove Katherine Johnson']")
        screen.assert_sound()

    dashboard.run(work)


def test_the_last_owner_stays(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        screen.open("/p/demo/team")
        screen.page.click("button:has-text('Leave')")
        screen.page.click("dialog button:has-text('Leave')")
        screen.page.wait_for_selector(".toast.bad")
        screen.page.wait_for_selector(".team li:has-text('(you)')")
        screen.assert_sound()

    dashboard.run(work)


def test_axe_finds_nothing(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> list[str]:
        screen.open("/p/demo/team")
        screen.page.wait_for_selector(".team li")
        return screen.axe_faults()

    assert dashboard.run(work) == []
