"""Analytics: everything filters everything, values are found and chosen, notes stand in the chart."""

import pytest

from tests.api.dashboard.test_shell_overview import click
from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def test_a_row_filters_all_cards_and_the_drawer_chooses_values(dashboard: Dashboard) -> None:
    click(dashboard, times=2)
    click(dashboard, "/demo/video")
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/analytics")
        page.click(".bars a:has-text('Garden tour')")
        page.wait_for_selector(".chip:has-text('Link is Garden tour')")
        page.wait_for_selector(".bars a.quiet:has-text('Spring collection')")
        assert page.locator("a[aria-current]:has-text('Garden tour')").count() == 1
        page.click("a:has-text('All sources')")
        page.wait_for_selector("dialog .list input[type=checkbox]")
        page.fill("dialog input[type=search]", "insta")
        page.check("dialog .list label:has-text('Instagram') input")
        page.click("dialog button:has-text('Filter by it')")
        page.wait_for_selector(".chip:has-text('Source is Instagram')")
        screen.assert_sound()
        page.keyboard.press("x")
        page.wait_for_selector(".chip:has-text('Source')", state="detached")
        page.click("a:has-text('Browsers')")
        page.wait_for_url("**/analytics?tab=browser")
        page.wait_for_selector(".bars a:has-text('Chrome')")

    dashboard.run(work)


def test_a_filter_that_no_click_can_have_is_said_at_once(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/analytics")
        page.click("button:has-text('Filter')")
        page.select_option("dialog select[name=dimension]", "country")
        page.fill("dialog input[name=value]", "Atlantis")
        page.click("dialog button[type=submit]")
        page.wait_for_selector("dialog .alert:has-text('Country must be')")
        page.fill("dialog input[name=value]", "it")
        page.click("dialog button[type=submit]")
        page.wait_for_selector(".chip:has-text('Country is Italy')")
        page.wait_for_selector("text=Nothing passes these filters")
        screen.assert_sound()

    dashboard.run(work)


def test_a_note_stands_in_the_chart_until_it_is_deleted(dashboard: Dashboard) -> None:
    hostile = "<img src=x onerror=alert(1)>"

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/analytics")
        page.click("button:has-text('+ Note')")
        page.fill("dialog input[name=text]", hostile)
        page.click("dialog button:has-text('Keep')")
        page.wait_for_selector(f".notes bdi:text-is('{hostile}')")
        assert page.locator(".chart .pin").count() == 1
        page.click(f".notes button:has-text('{hostile}')")
        page.click("dialog button:has-text('Delete')")
        page.click("dialog:last-of-type button.danger[type=submit]")
        page.wait_for_selector(f".notes bdi:text-is('{hostile}')", state="detached")
        screen.assert_sound()

    dashboard.run(work)


def test_a_view_is_kept_and_all_of_it_can_be_taken_as_files(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/analytics?filter[device]=phone&period=7d")
        page.click("button:has-text('Kept views')")
        page.fill("dialog input[name=name]", "Phones of a week")
        page.click("dialog button:has-text('Keep')")
        page.wait_for_selector("text=Kept as “Phones of a week”")
        page.click("button:has-text('Export')")
        file = page.locator("dialog .files a").first.get_attribute("href")
        answer = page.context.request.get(screen.url + file)
        assert answer.ok
        assert "filter%5Bdevice%5D=phone" in file
        page.keyboard.press("Escape")
        screen.open("/p/demo/analytics")
        page.click("button:has-text('Kept views')")
        page.click("dialog a:has-text('Phones of a week')")
        page.wait_for_selector(".chip:has-text('Device is Phone')")
        screen.assert_sound()

    dashboard.run(work)


def test_axe_finds_nothing(dashboard: Dashboard) -> None:
    click(dashboard)
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> list[str]:
        screen.open("/p/demo/analytics")
        screen.page.wait_for_selector(".bars")
        return screen.axe_faults()

    assert dashboard.run(work) == []
