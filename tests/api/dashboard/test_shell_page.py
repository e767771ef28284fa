"""The page editor: blocks made, moved and deleted with Undo, kept by themselves, published and taken back."""

import json
from typing import Any

import pytest

from tests.kit.dashboards import Dashboard, Screen
from tests.kit.pictures import good

pytestmark = pytest.mark.slow

KEPT = ".asof:has-text('Draft kept')"


def api(dashboard: Dashboard, screen: Screen, method: str, path: str, body: Any = None) -> Any:
    """Return the answer of the API to the owner's key, of the demo's profile."""
    headers = {"Authorization": f"Bearer {dashboard.engine.owner['api_key']}"}
    request = screen.page.context.request
    profiles = request.get(f"{screen.url}/v1/profiles", headers=headers).json()
    answer = request.fetch(
        f"{screen.url}/v1/profiles/{profiles['items'][0]['id']}/{path}",
        method=method,
        data=None if body is None else json.dumps(body),
        headers=headers | {"Content-Type": "application/json"},
    )
    assert answer.ok, answer.text()
    return answer.json()


def order(screen: Screen) -> list[str]:
    ids: list[str] = screen.page.eval_on_selector_all(
        ".blocks > li", "rows => rows.map(row => row.dataset.id)"
    )
    return ids


def opened(screen: Screen, path: str = "/p/demo/page") -> Any:
    screen.open(path)
    screen.page.wait_for_selector(".split")
    return screen.page


def test_a_block_is_written_kept_published_and_taken_back(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        before = api(dashboard, screen, "GET", "page/draft")["published"]
        page = opened(screen)
        page.click(".addbar button:has-text('Heading')")
        page.fill(".fields input[name=text]", "")
        page.wait_for_selector(".fields small.bad:not([hidden])")
        page.wait_for_selector(".asof.bad:has-text('Not kept: block')")
        page.fill(".fields input[name=text]", "<b>New</b> here")
        page.wait_for_selector(KEPT)
        page.frame_locator(".stage iframe").locator("h2:has-text('<b>New</b> here')").wait_for()
        screen.assert_sound()
        page.click("button:has-text('Publish')")
        page.click(".toast:has-text('Published') button:has-text('Undo')")
        page.wait_for_selector(f".toast:has-text('Visitors get version {before} again')")
        draft = api(dashboard, screen, "GET", "page/draft")
        published = api(dashboard, screen, "GET", f"page/versions/{draft['published']}")
        assert draft["blocks"][-1]["text"] == "<b>New</b> here"
        assert all(block.get("text") != "<b>New</b> here" for block in published["page"]["blocks"])

    dashboard.run(work)


def test_blocks_are_moved_by_keys_and_pointer_and_deleted_with_undo(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = opened(screen)
        page.wait_for_selector(".blocks > li")
        first, second, third, *rest = order(screen)
        page.focus(f"[data-id={first}] .grip")
        for key in (" ", "ArrowDown", "ArrowDown", " "):
            page.keyboard.press(key)
        assert order(screen) == [second, third, first, *rest]
        for key in (" ", "ArrowUp", "Escape"):
            page.keyboard.press(key)
        assert order(screen) == [second, third, first, *rest]
        page.click(f"[data-id={first}] .up")
        page.keyboard.press("Enter")  # the focus stays
        assert order(screen) == [first, second, third, *rest]
        start = page.locator(f"[data-id={first}] .grip").bounding_box()
        page.mouse.move(start["x"] + 8, start["y"] + 8)
        page.mouse.down()
        below = page.locator(f"[data-id={second}]").bounding_box()
        page.mouse.move(start["x"] + 8, below["y"] + below["height"] - 4, steps=4)
        page.mouse.up()
        assert order(screen) == [second, first, third, *rest]
        page.wait_for_selector(KEPT)
        blocks = api(dashboard, screen, "GET", "page/draft")["blocks"]
        assert [block["id"] for block in blocks] == order(screen)
        page.click(f"[data-id={first}] .name")
        page.click(".fields button:has-text('Delete')")
        assert first not in order(screen)
        page.click(".toast button:has-text('Undo')")
        assert order(screen) == [second, first, third, *rest]
        page.keyboard.press("Control+z")
        assert first not in order(screen)
        page.keyboard.press("Control+Shift+z")
        assert first in order(screen)
        page.wait_for_selector(KEPT)

    dashboard.run(work)


def test_what_somebody_else_wrote_is_not_written_over(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = opened(screen, "/p/demo/page?tab=header")
        draft = api(dashboard, screen, "GET", "page/draft")
        api(dashboard, screen, "PUT", "page/draft", draft | {"bio": "By another"})
        page.fill("input[name=name]", "Mine")
        page.wait_for_selector(".collision:has-text('Theirs differs in bio')")
        screen.assert_sound()
        page.click("button:has-text('See theirs')")
        assert page.input_value("textarea[name=bio]") == "By another"
        page.click(".toast button:has-text('Back to mine')")
        assert page.input_value("input[name=name]") == "Mine"
        page.wait_for_selector(KEPT)
        assert api(dashboard, screen, "GET", "page/draft")["name"] == "Mine"
        page.click("button:has-text('Versions')")
        page.click(".versions li:last-child button")
        page.wait_for_selector(".toast:has-text('is the draft')")
        assert page.input_value("input[name=name]") != "Mine"

    dashboard.run(work)


def test_a_picture_is_uploaded_and_a_colour_that_cannot_be_read_is_said(
    dashboard: Dashboard,
) -> None:
    def work(screen: Screen) -> None:
        page = opened(screen, "/p/demo/page?tab=header")
        picture = {"name": "face.png", "mimeType": "image/png", "buffer": good("PNG")}
        page.set_input_files("input[type=file]", picture)
        page.wait_for_selector(".toast:has-text('Picture uploaded')")
        page.wait_for_selector(KEPT)
        assert api(dashboard, screen, "GET", "page/draft")["picture"]
        page.click("[role=tab]:has-text('Theme')")
        page.fill("input[name=accent]", "#fefefe")
        page.wait_for_selector(".corrections:has-text('#fefefe')")
        page.check("input[value=tide]")
        page.wait_for_selector(KEPT)
        assert api(dashboard, screen, "GET", "page/draft")["theme"] == "tide"
        # Without it at the end: the preview shows it from the visitors' server.
        page.click("[role=tab]:has-text('Header')")
        page.select_option("select[name=picture]", label="None")
        page.wait_for_selector(KEPT)
        shown = f"outside: {dashboard.engine.visitors}/a/"
        screen.faults[:] = [fault for fault in screen.faults if not fault.startswith(shown)]
        screen.assert_sound()

    dashboard.run(work)


@pytest.mark.thorough
def test_axe_finds_nothing(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> list[str]:
        faults = []
        for query in ("block=questions", "tab=header", "tab=theme", "tab=sharing"):
            opened(screen, f"/p/demo/page?{query}")
            faults += screen.axe_faults()
        return faults

    assert dashboard.run(work) == []
