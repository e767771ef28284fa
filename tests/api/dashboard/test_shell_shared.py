"""Figures that are shared by a link: shown without an account, until the link is taken back."""

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def test_a_link_shows_the_figures_until_it_is_taken_back(dashboard: Dashboard) -> None:
    with dashboard.engine.api() as client:
        client.post("/v1/profiles", json={"handle": "sharing", "title": "Sharing"})
    links: list[str] = []

    def share(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/sharing/analytics")
        page.click("button:has-text('Share')")
        page.fill("dialog input[name=label]", "<b>The client</b>")
        page.click("dialog button:has-text('Make the link')")
        page.wait_for_selector("dialog .secret")
        links.append(page.inner_text("dialog .secret").removeprefix(screen.url))
        page.click("dialog button:has-text('I have kept it')")

    def read(screen: Screen) -> None:
        screen.open(links[0])
        screen.page.click("button.kpi:has-text('Visitors')")
        screen.page.wait_for_selector("button.kpi[aria-pressed=true]:has-text('Visitors')")
        assert "/shared" in screen.page.url
        assert screen.page.locator(".card h2").all_inner_texts()[:2] == ["Sources", "Referrers"]
        screen.assert_sound()
        assert screen.axe_faults() == []

    def take_back(screen: Screen) -> None:
        screen.open("/p/sharing/analytics")
        screen.page.click("button:has-text('Share')")
        screen.page.click("dialog li:has-text('The client') button:has-text('Take back')")
        screen.page.wait_for_selector("dialog li:has-text('Nothing is shared')")
        screen.assert_sound()

    def gone(screen: Screen) -> None:
        screen.open(links[0])
        screen.page.wait_for_selector("h1:has-text('leads nowhere any more')")
        screen.assert_sound()

    dashboard.run(share)
    dashboard.run(read, signed_in=False)
    dashboard.run(take_back)
    dashboard.run(gone, signed_in=False)
