"""Domains and jobs: a domain is added, looked at and removed; jobs are listed by state."""

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def test_a_domain_is_added_with_its_record_and_removed(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/domains?new=1")
        page.fill("dialog input[name=host]", "https://not a host")
        page.click("dialog button:has-text('Add')")
        page.wait_for_selector("dialog .field small.bad:not([hidden])")
        page.fill("dialog input[name=host]", "links.garden.example")
        page.click("dialog button:has-text('Add')")
        page.wait_for_selector("dialog .record dd:has-text('waypost=')")
        screen.assert_sound()
        page.check("dialog input[name='slugs.dots']")
        page.click("dialog button:has-text('Save')")
        page.wait_for_selector("text=Saved")
        assert page.is_checked("dialog input[name='slugs.dots']")
        assert not page.is_checked("dialog input[name='slugs.emoji']")
        page.click("dialog button:has-text('Remove the domain')")
        page.click("dialog:last-of-type button.danger[type=submit]")
        page.wait_for_selector("text=No domain of your own yet")

    dashboard.run(work)


def test_jobs_are_listed_by_state(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        screen.open("/jobs")
        screen.page.wait_for_selector(".list, .prob")
        screen.page.select_option("select[aria-label=State]", "dead")
        screen.page.wait_for_url("**/jobs?state=dead")
        screen.page.wait_for_selector(".list, .prob")
        screen.assert_sound()

    dashboard.run(work)


def test_axe_finds_nothing(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> list[str]:
        found = []
        for path in ("/p/demo/domains?new=1", "/jobs"):
            screen.open(path)
            screen.page.wait_for_selector("dialog, .list, .prob")
            found += screen.axe_faults()
        return found

    assert dashboard.run(work) == []
