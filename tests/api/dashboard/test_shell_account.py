"""Account and settings: what is saved, what somebody else changed, a session that ends while typing."""

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def new_profile(dashboard: Dashboard, handle: str) -> str:
    with dashboard.engine.api() as client:
        profile_id: str = client.post("/v1/profiles", json={"handle": handle}).json()["id"]
        return profile_id


def test_the_account_is_shown_and_its_name_saved(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/account")
        page.wait_for_selector(".rows li")
        screen.assert_sound()
        page.fill("input[name=name]", "Ada")
        page.click("form:has(input[name=name]) button[type=submit]")
        page.wait_for_selector(".toast")
        page.wait_for_selector(".whoami:has-text('Ada')")
        page.click("button:has-text('Dark')")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.reload()
        page.wait_for_selector(".rows li")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"

    dashboard.run(work)


def test_a_change_by_somebody_else_is_shown_and_mine_can_be_kept(dashboard: Dashboard) -> None:
    profile_id = new_profile(dashboard, "collide")

    def work(screen: Screen) -> str:
        page = screen.page
        screen.open("/p/collide/settings")
        page.fill("input[name=title]", "Mine")
        with dashboard.engine.api() as client:
            client.patch(f"/v1/profiles/{profile_id}", json={"title": "Theirs"})
        page.click("button:has-text('Save')")
        page.wait_for_selector(".collision:has-text('Theirs')")
        screen.assert_sound()
        page.click("button:has-text('Keep mine')")
        page.wait_for_selector(".toast:has-text('Saved')")
        with dashboard.engine.api() as client:
            title: str = client.get(f"/v1/profiles/{profile_id}").json()["title"]
        return title

    assert dashboard.run(work) == "Mine"


def test_a_new_link_is_no_collision(dashboard: Dashboard) -> None:
    profile_id = new_profile(dashboard, "busy")

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/busy/settings")
        page.fill("input[name=title]", "Busy")
        with dashboard.engine.api() as client:
            draft = {"target": "https://example.com/"}
            assert client.post(f"/v1/profiles/{profile_id}/links", json=draft).status_code == 201
        page.click("button:has-text('Save')")
        page.wait_for_selector(".toast:has-text('Saved')")

    dashboard.run(work)


def test_a_session_that_ends_while_typing_loses_nothing(dashboard: Dashboard) -> None:
    profile_id = new_profile(dashboard, "typing")
    owner = dashboard.engine.owner

    def work(screen: Screen) -> str:
        page = screen.page
        screen.open("/p/typing/settings")
        page.fill("input[name=title]", "A long title that took a while")
        page.context.clear_cookies()
        page.click("button:has-text('Save')")
        page.wait_for_selector("dialog:has-text('session has ended')")
        page.fill("dialog input[type=email]", owner["email"])
        page.fill("dialog input[type=password]", owner["password"])
        page.keyboard.press("Enter")
        page.wait_for_selector(".toast:has-text('Saved')")
        with dashboard.engine.api() as client:
            title: str = client.get(f"/v1/profiles/{profile_id}").json()["title"]
        return title

    assert dashboard.run(work) == "A long title that took a while"


def test_a_bad_value_is_told_at_its_field(dashboard: Dashboard) -> None:
    new_profile(dashboard, "fields")

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/fields/settings")
        page.fill("input[name=handle]", "no spaces here")
        page.click("button:has-text('Save')")
        page.wait_for_selector("[data-name=handle] small.bad:not([hidden])")
        assert page.evaluate("document.activeElement.name") == "handle"
        screen.assert_sound()

    dashboard.run(work)


def test_deleting_takes_the_handle_typed(dashboard: Dashboard) -> None:
    new_profile(dashboard, "doomed")

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/doomed/settings")
        page.click("button:has-text('Delete…')")
        act = page.locator("dialog button[type=submit]")
        assert act.is_disabled()
        page.fill("dialog input", "doomed")
        act.click()
        page.wait_for_url("**/profiles")
        page.wait_for_selector(".profiles li")
        assert "@doomed" not in page.inner_text(".profiles")

    dashboard.run(work)
