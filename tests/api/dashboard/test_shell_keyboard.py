"""Everything by keyboard alone: controls are reached, named and left again, and their work is done."""

from typing import Any

import pytest

from tests.kit.dashboards import Dashboard, Screen
from tests.kit.screenshots import screens

pytestmark = [pytest.mark.thorough, pytest.mark.large, pytest.mark.timeout(600)]

MOST_STOPS = 400
PASSWORD = "a long sentence is best"
# What has the focus: its name as a screen reader begins to say it, whether it is seen, its number on the way.
FOCUSED = """() => {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    window.stops ??= new Map();
    if (!window.stops.has(element)) window.stops.set(element, window.stops.size);
    const textOf = id => document.getElementById(id)?.textContent ?? '';
    const by = (element.getAttribute('aria-labelledby') ?? '').split(' ').map(textOf).join(' ').trim();
    const names = [element.getAttribute('aria-label'), by, element.labels?.[0]?.textContent,
        element.textContent, element.alt, element.title, element.placeholder, ''];
    const box = element.getBoundingClientRect();
    return {
        number: window.stops.get(element),
        name: (names.find(Boolean) ?? '').trim().slice(0, 80),
        html: element.outerHTML.slice(0, 100),
        visible: box.width > 0 && box.height > 0 && getComputedStyle(element).visibility !== 'hidden',
    };
}"""


def press_until(screen: Screen, name: str, key: str = "Tab") -> None:
    """Press Tab until what is focused has a name that begins so. Fails if nothing has."""
    names = []
    for _ in range(MOST_STOPS):
        screen.page.keyboard.press(key)
        focused = screen.page.evaluate(FOCUSED)
        if focused and focused["name"].startswith(name):
            return
        names.append(focused and focused["name"])
    raise AssertionError(
        f"Tab does not come to {name!r}, only to {sorted({n or '' for n in names})}"
    )


def act(screen: Screen, name: str) -> None:
    press_until(screen, name)
    screen.page.keyboard.press("Enter")


def write(screen: Screen, name: str, text: str) -> None:
    press_until(screen, name)
    screen.page.keyboard.type(text)


def go(screen: Screen, keys: str, heading: str) -> None:
    for key in keys:
        screen.page.keyboard.press(key)
    screen.page.wait_for_selector(f"h1:has-text('{heading}')")


def test_an_owner_does_their_work_without_a_pointer(dashboard: Dashboard) -> None:
    owner = dashboard.engine.owner
    with dashboard.engine.api() as client:
        client.post("/v1/profiles", json={"handle": "keys-only"}).raise_for_status()

    def work(screen: Screen) -> None:
        page, keyboard = screen.page, screen.page.keyboard
        screen.open("/login?next=/p/keys-only")
        keyboard.type(owner["email"])
        keyboard.press("Tab")
        keyboard.type(owner["password"])
        keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('Overview')")
        go(screen, "gl", "Links")
        keyboard.press("n")
        page.wait_for_selector("dialog input[name=target]")
        keyboard.type("https://example.com/keys")
        write(screen, "Title", "By keys")
        keyboard.press("Enter")
        page.wait_for_selector("dialog #link-form")
        keyboard.press("Escape")
        page.wait_for_selector(".lrow:has-text('By keys')")
        go(screen, "gp", "Page")
        page.wait_for_selector(".split")
        act(screen, "Add a block")
        act(screen, "¶")  # the sign of a text
        page.wait_for_selector(".fields textarea[name=text]")
        write(screen, "Text", "Written by keys")
        page.wait_for_selector(".asof:has-text('Draft kept')")
        act(screen, "Publish")
        page.wait_for_selector(".toast:has-text('Published')")
        go(screen, "ge", "Experiments")
        act(screen, "New experiment")
        page.wait_for_selector("dialog input[name=name]")
        keyboard.type("By keys alone")
        press_until(screen, "Create the draft")
        write_variant(screen)
        keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('By keys alone')")
        act(screen, "Start")
        act(screen, "Start")
        page.wait_for_selector(".tag:has-text('running, day 1')")
        go(screen, "gt", "Team")
        act(screen, "Invite")
        page.wait_for_selector("dialog input[name=email]")
        keyboard.type("keys@example.com")
        keyboard.press("Enter")
        page.wait_for_selector("dialog .secret")
        act(screen, "I have kept it")
        page.wait_for_selector(".team li:has-text('keys@example.com')")
        go(screen, "gy", "Activity")
        act(screen, "Verify the chain")
        page.wait_for_selector(".chain:has-text('entries are as they were written')")
        go(screen, "ga", "Analytics")
        act(screen, "Export")
        page.wait_for_selector("dialog .files")
        keyboard.press("Escape")
        assert page.evaluate(FOCUSED)["name"] == "Export"  # the focus is where it was
        go(screen, "gs", "Settings")
        write(screen, "Title", "Keys")
        keyboard.press("Enter")
        page.wait_for_selector(".toast:has-text('Saved')")
        screen.assert_sound()

    dashboard.run(work, signed_in=False, timeout_s=400)


def write_variant(screen: Screen) -> None:
    """Go back to the second variant's target and write it."""
    press_until(screen, "Target", key="Shift+Tab")
    screen.page.keyboard.type("https://example.com/other")


@pytest.mark.parametrize("width", [360, 1280])
def test_each_stop_of_each_screen_is_seen_named_and_left(dashboard: Dashboard, width: int) -> None:
    def work(screen: Screen) -> dict[str, list[str]]:
        faults = {}
        for _, path in screens():
            screen.open(path)
            screen.page.wait_for_load_state("load")
            screen.page.wait_for_timeout(1_200)  # what the screen asks for has come and is drawn
            if found := walk(screen.page):
                faults[path] = found
        return faults

    size = {"width": width, "height": 800}
    assert dashboard.run(work, timeout_s=500, viewport=size) == {}


def walk(page: Any) -> list[str]:
    """Press Tab from the begin of the page to its end. Returns what is wrong with the stops."""
    page.evaluate("() => { document.activeElement?.blur?.(); window.stops = new Map(); }")
    seen = 0
    faults: list[str] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        if stop is None or stop["number"] < seen:  # around the end
            return faults if seen else ["Tab comes to nothing"]
        if stop["number"] + 1 == seen and seen:
            return [*faults, f"Tab stays at {stop['html']}"]
        seen = stop["number"] + 1
        if not stop["visible"]:
            faults.append(f"not seen: {stop['html']}")
        if not stop["name"]:
            faults.append(f"without a name: {stop['html']}")
    return faults
