"""Experiments: planned, started, watched as they stood, explained and decided."""

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

HOSTILE = '"><img src=x onerror=alert(1)> مجموعة'


def test_an_experiment_is_made_started_explained_and_decided(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/experiments?new=1")
        page.fill("dialog input[name=name]", HOSTILE)
        page.select_option("dialog select[name=kind]", "page")
        page.fill("dialog input[name='variants.1.title']", "Look here")
        page.fill("dialog input[name='variants.1.weight']", "3")
        page.wait_for_selector("dialog .note:has-text('25')")
        page.click("dialog button:has-text('Create the draft')")
        page.wait_for_selector("h1:has-text('onerror')")
        page.wait_for_selector(".say2:has-text('in each variant')")
        screen.assert_sound()
        page.click(".top button:has-text('Start')")
        page.click("dialog button:has-text('Start')")
        page.wait_for_selector(".tag:has-text('running, day 1')")
        page.fill("input[name=address]", "203.0.113.7")
        page.click("button:has-text('My browser')")
        page.click("button:has-text('Explain')")
        page.wait_for_selector(".answer p:has-text('They get')")
        screen.assert_sound()
        page.click(".top button:has-text('Decide')")
        page.select_option("dialog select[name=winner]", "variant")
        page.click("dialog button[type=submit]")
        page.wait_for_selector(".verdict:has-text('every visitor gets variant')")
        screen.assert_sound()
        screen.open("/p/demo")
        page.wait_for_selector(".exp h2:has-text('onerror') + .tag:has-text('decided')")
        page.wait_for_selector(".exp .vars tbody tr:nth-child(2)")
        screen.assert_sound()

    dashboard.run(work)


def test_a_wrong_variant_is_named_at_its_field(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/experiments?new=1")
        page.fill("dialog input[name=name]", "Targets")
        page.fill("dialog input[name='variants.1.target']", "ftp://example.com/")
        page.click("dialog button:has-text('Create the draft')")
        page.wait_for_selector("dialog [data-name='variants.1.target'] small.bad:not([hidden])")
        page.keyboard.press("Escape")
        page.wait_for_url("**/p/demo/experiments")
        screen.assert_sound()

    dashboard.run(work)


def test_axe_finds_nothing(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> list[str]:
        screen.open("/p/demo/experiments?new=1")
        screen.page.wait_for_selector("dialog input[name='variants.1.target']")
        return screen.axe_faults()

    assert dashboard.run(work) == []
