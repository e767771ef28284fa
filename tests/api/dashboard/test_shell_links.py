"""Links: made, found, changed beside others, chosen, imported, deleted with Undo."""

import json

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = pytest.mark.slow

HOSTILE = '"><img src=x onerror=alert(1)> مجموعة الربيع'


def test_a_link_is_made_led_by_a_rule_and_tried(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/links?new=1")
        page.fill("dialog input[name=target]", "not an address")
        page.click("dialog button:has-text('Create')")
        page.wait_for_selector("dialog .field small.bad:not([hidden])")
        page.fill("dialog input[name=target]", "https://example.com/made")
        page.fill("dialog input[name=title]", HOSTILE)
        page.click("dialog button:has-text('Create')")
        page.wait_for_selector("dialog #link-form")
        page.click("button:has-text('Add a rule')")
        page.fill("input[aria-label='Country in rule 1']", "DE, AT")
        page.fill("input[aria-label='Target of rule 1']", "https://example.de/made")
        page.click("dialog button:has-text('Save')")
        page.wait_for_selector("text=Try it")
        page.select_option("dialog select[name=country]", "DE")
        page.wait_for_selector("dialog .answer:has-text('Rule 1 fits')")
        screen.assert_sound()
        page.keyboard.press("Escape")
        page.wait_for_url("**/p/demo/links*")
        page.fill("input[type=search]", "example.com/made")
        page.wait_for_url("**q=example**")
        page.wait_for_selector(".lrows li:first-child:last-child")
        screen.assert_sound()

    dashboard.run(work)


def test_visitors_are_warned_by_a_member_or_by_the_server(dashboard: Dashboard) -> None:
    with dashboard.engine.api() as client:
        body = {"slug": "warned", "target": "https://example.com/warned"}
        link = client.post("/v1/links", json=body).raise_for_status().json()

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open(f"/p/demo/links/{link['id']}")
        page.check("dialog input[name=quarantined]")
        page.fill("dialog input[name=quarantine_reason]", "it was sold")
        page.click("dialog button:has-text('Save')")
        page.wait_for_selector("dialog footer:has-text('version 2')")
        with dashboard.engine.api() as client:
            kept = client.get(f"/v1/links/{link['id']}").json()
            assert (kept["quarantined"], kept["quarantine_reason"]) == (True, "it was sold")
            path = f"/v1/operator/links/{link['id']}/quarantine"
            client.put(path, json={"reason": "a copy of a shop"}).raise_for_status()
        page.reload()
        page.wait_for_selector("dialog .alert:has-text('A copy of a shop')")
        screen.assert_sound()

    dashboard.run(work)


def test_what_somebody_else_changed_is_not_written_over(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/links")
        page.click(".lrow a:has-text('The shop')")
        page.wait_for_selector("#link-form")
        link = page.url.rsplit("/", 1)[1].split("?")[0]
        headers = {"Authorization": f"Bearer {dashboard.engine.owner['api_key']}"}
        answer = page.context.request.patch(
            f"{screen.url}/v1/links/{link}",
            data=json.dumps({"notes": "by another"}),
            headers=headers | {"Content-Type": "application/json"},
        )
        assert answer.ok, answer.text()
        page.fill("dialog input[name=title]", "The shop, renamed")
        page.click("dialog button:has-text('Save')")
        page.wait_for_selector("dialog .alert:has-text('Somebody changed this link')")
        assert page.input_value("dialog input[name=title]") == "The shop, renamed"
        page.click("button:has-text('Load theirs')")
        page.wait_for_selector("dialog footer:has-text('version 2')")
        assert page.input_value("dialog input[name=notes]") == "by another"
        screen.assert_sound()

    dashboard.run(work)


def test_chosen_links_are_tagged_and_a_deletion_is_taken_back(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/links?sort=title")
        page.wait_for_selector(".lrows li")
        page.locator(".lrows li input").first.click()
        page.locator(".lrows li input").nth(1).click(modifiers=["Shift"])
        page.wait_for_selector(".bulk:has-text('2 chosen')")
        page.click(".bulk button:has-text('Tag')")
        page.fill("dialog input[name=tag]", "chosen")
        page.click("dialog button:has-text('Add')")
        page.wait_for_selector(".tagbar button:has-text('chosen')")
        screen.assert_sound()
        count = page.locator(".lrows li").count()
        page.locator(".lrows li input").first.check()
        page.click(".bulk button.danger")
        page.wait_for_selector(f".lrows li:nth-child({count})", state="detached")
        page.click(".toast:has-text('deleted') button:has-text('Undo')")
        page.wait_for_selector(f".lrows li:nth-child({count})")

    dashboard.run(work)


def test_a_file_is_previewed_before_it_is_imported(dashboard: Dashboard) -> None:
    rows = b"slug,target,title\nfrom-file,https://example.com/f,From a file\nbad,ftp://x,Bad\n"

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo/links")
        page.click("button:has-text('Import')")
        page.set_input_files(
            "dialog input[type=file]",
            {"name": "links.csv", "mimeType": "text/csv", "buffer": rows},
        )
        page.wait_for_selector("dialog button:has-text('Import 1 link')", timeout=60_000)
        assert "Row 3" in page.inner_text("dialog .rejects")
        page.click("dialog button:has-text('Import 1 link')")
        page.wait_for_selector(".toast:has-text('1 link created')", timeout=60_000)
        page.keyboard.press("Escape")
        page.wait_for_selector(".lrow:has-text('From a file')")
        screen.assert_sound()

    dashboard.run(work)


def test_axe_finds_nothing(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> list[str]:
        screen.open("/p/demo/links")
        screen.page.click(".lrow a:has-text('Newsletter')")
        screen.page.wait_for_selector("#link-form")
        return screen.axe_faults()

    assert dashboard.run(work) == []
