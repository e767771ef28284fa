"""Activity: what changed before and after, a filter in the URL, text that somebody typed."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

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


def test_the_chain_is_verified_in_the_browser(dashboard: Dashboard) -> None:
    """What another server would have to forge: an entry, its hash, or the whole chain."""
    profile_id = new_profile(dashboard, "chained")

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/chained/activity")
        verify = "button:has-text('Verify the chain')"
        page.click(verify)
        page.wait_for_selector(".chain:has-text('All 3 entries are as they were written')")
        screen.assert_sound()
        page.click(verify)
        page.wait_for_selector(".chain:has-text('Nothing up to entry 3 has changed')")
        for forged, words in FORGERIES:
            page.unroute_all()
            page.route("**/activity/export**", partial(forge, forged))
            page.click(verify)
            page.wait_for_selector(f".chain .bad:has-text('{words}')")
        assert screen.axe_faults() == []

    dashboard.run(work)
    with dashboard.engine.api() as client:
        client.delete(f"/v1/profiles/{profile_id}").raise_for_status()


def rewritten(entries: list[Any]) -> list[Any]:
    """Return the entries with another text, and all hashes made anew, as whoever has all rights could."""
    before = b""
    for entry in reversed(entries):
        entry["hashed"] = entry["hashed"].replace("one", "two")
        entry["before"], entry["after"] = json.loads(entry["hashed"])[9:]
        before = hashlib.sha256(before + entry["hashed"].encode()).digest()
        entry["hash"] = before.hex()
    return entries


def with_field(entries: list[Any], number: int, **fields: Any) -> list[Any]:
    return [entry | fields if entry["id"] == str(number) else entry for entry in entries]


def without(entries: list[Any], number: int) -> list[Any]:
    return [entry for entry in entries if entry["id"] != str(number)]


# Each changes the log's entries, newest first, and names the first of them that is then not right.
FORGERIES: list[tuple[Callable[[list[Any]], list[Any]], str]] = [
    (lambda log: with_field(log, 2, hashed="[]"), "Entry 2 is not as it was written"),
    (lambda log: with_field(log, 2, hash="00" * 32), "Entry 2 is not as it was written"),
    (lambda log: with_field(log, 2, action="link.deleted"), "Entry 2 shows something else"),
    (lambda log: without(log, 2), "Entry 2 is missing"),
    (lambda log: without(log, 1), "Entry 1 is missing"),
    (lambda log: without(log, 3), "Entry 3 is missing: this browser saw it"),
    (lambda log: [], "Entry 3 is missing: this browser saw it"),
    (rewritten, "Entry 3 is another one than this browser saw"),
]


def forge(forged: Callable[[list[Any]], list[Any]], route: Any) -> None:
    entries = [json.loads(line) for line in route.fetch().text().splitlines()]
    route.fulfill(body="".join(json.dumps(entry) + "\n" for entry in forged(entries)))


def new_profile(dashboard: Dashboard, handle: str) -> str:
    """Make a profile with a link: two or three entries. Returns its id."""
    with dashboard.engine.api() as client:
        profile: dict[str, Any] = client.post("/v1/profiles", json={"handle": handle}).json()
        link = {"slug": "one", "target": "https://example.com/"}
        created = client.post(f"/v1/profiles/{profile['id']}/links", json=link)
        path = f"/v1/links/{created.raise_for_status().json()['id']}"
        client.patch(path, json={"title": "one"}).raise_for_status()
        id_: str = profile["id"]
        return id_
