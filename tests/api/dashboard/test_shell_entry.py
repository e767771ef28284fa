"""The ways in: joining a team, forgotten passwords, setting up a new server."""

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = pytest.mark.slow


def invitation(dashboard: Dashboard, email: str) -> str:
    with dashboard.engine.api() as client:
        profiles = client.get("/v1/profiles").json()["items"]
        profile_id = next(profile["id"] for profile in profiles if profile["handle"] == "demo")
        draft = {"email": email, "role": "viewer", "expires_in_days": 2}
        answered = client.post(f"/v1/profiles/{profile_id}/invitations", json=draft)
        url: str = answered.json()["url"]
        return url.removeprefix(dashboard.engine.console)


def test_an_invited_person_joins_and_sees_what_a_viewer_may(dashboard: Dashboard) -> None:
    path = invitation(dashboard, "grace@example.com")

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open(path)
        assert page.url == f"{screen.url}/join"  # the token has left the bar
        screen.assert_sound()
        assert page.input_value("input[type=email]") == "grace@example.com"
        page.fill("input[name=name]", "Grace <b>Hopper</b>")
        page.fill("input[type=password]", "short")
        page.keyboard.press("Enter")
        assert "10" in page.inner_text(".field small.bad:not([hidden])")
        page.fill("input[type=password]", "a long sentence is best")
        page.keyboard.press("Enter")
        page.wait_for_selector(".nav [aria-current=page]")
        assert page.url == f"{screen.url}/p/demo"
        assert page.inner_text(".whoami") == "Grace <b>Hopper</b>"
        screen.open(path)
        page.wait_for_selector("h1:has-text('cannot be used')")
        screen.assert_sound()

    dashboard.run(work, signed_in=False)


def test_a_token_that_nobody_made_is_said_to_be_unknown(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        screen.open("/join#wpi_nothing")
        screen.page.wait_for_selector("h1:has-text('not known')")
        screen.assert_sound()
        screen.open("/join")
        screen.page.wait_for_selector("h1:has-text('no invitation')")

    dashboard.run(work, signed_in=False)


def test_without_mail_a_forgotten_password_says_who_can_help(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        screen.open("/reset")
        screen.page.wait_for_selector("text=sends no mail")
        screen.open("/reset#wpo_nothing")
        screen.page.fill("input[type=password]", "a long sentence is best")
        screen.page.keyboard.press("Enter")
        screen.page.wait_for_selector("[role=alert]:has-text('was used')")
        screen.assert_sound()

    dashboard.run(work, signed_in=False)


def test_a_wrong_code_sets_nothing_up(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        screen.open("/setup#wpo_nothing")
        screen.page.fill("input[name=name]", "Ada")
        screen.page.fill("input[type=email]", "ada@example.com")
        screen.page.fill("input[type=password]", "a long sentence is best")
        assert screen.page.input_value("input[name=code]") == "wpo_nothing"
        screen.page.keyboard.press("Enter")
        screen.page.wait_for_selector("[role=alert]:has-text('not the one')")
        screen.assert_sound()

    dashboard.run(work, signed_in=False)
