"""Activity: what changed before and after, a filter in the URL, text that somebody typed."""

import json

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = pytest.mark.slow

HOSTILE = '"><img src=x onerror=alert(1)> مجموعة'


def test_a_change_is_shown_before_and_after_and_found_by_its_object(dashboard: Dashboard) -> None:
    headers = {
        "Authorization": f"Bearer {dashboard.engine.owner['api_key']}",
        "Content-Type": "application/json",
    }

    def work(screen: Screen) -> None:
        page = screen.page
        requests = page.context.request
        screen.open("/p/demo/links")
        made = requests.post(
            f"{screen.url}/v1/links",
            data=json.dumps({"target": "https://example.org/activity"}),
            headers=headers,
        )
        link = made.json()["id"]
        notes = json.dumps({"notes": HOSTILE})
        answer = requests.patch(f"{screen.url}/v1/links/{link}", data=notes, headers=headers)
        assert answer.ok, answer.text()
        screen.open("/p/demo/activity?type=link")
        page.click(".log summary:has-text('Link updated'):has-text('by an API key') >> nth=0")
        assert HOSTILE in page.inner_text(".diff tbody tr:has-text('Notes') ins")
        screen.assert_sound()
        page.click(".entry button:has-text('Only this object')")
        page.wait_for_url(f"**object={link}**")
        page.wait_for_selector(".log li:last-child:has-text('Link created')")
        assert page.locator(".log li").count() == 2
        page.focus("a[download]")  # its address is made when it is used
        assert f"object_id={link}" in page.get_attribute("a[download]", "href")
        page.click("button:has-text('Show all')")
        page.wait_for_selector(".log li:has-text('Profile created')")

    dashboard.run(work)


def test_a_day_without_changes_says_so(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        screen.open("/p/demo/activity?from=2020-01-01&to=2020-01-01")
        screen.page.wait_for_selector("text=No change is like that.")
        screen.assert_sound()

    dashboard.run(work)


def test_axe_finds_nothing(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> list[str]:
        screen.open("/p/demo/activity")
        screen.page.click(".log summary >> nth=0")
        screen.page.wait_for_selector(".entry")
        return screen.axe_faults()

    assert dashboard.run(work) == []
