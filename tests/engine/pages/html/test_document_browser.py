"""The page in Chromium: laid out at every width, accessible, still, and without a request to another host."""

from itertools import product
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from engine.pages.html.document import PageDocument, render_page
from engine.pages.page import THEME_NAMES
from tests.kit.browser import BrowserThread
from tests.kit.hostile_pages import poisoned_document
from tests.kit.hostile_texts import hostile_texts
from tests.kit.sample_page import BLOCKS, MORE_BLOCKS, NOW, SOURCES, sample_page
from tests.kit.shown_page import ShownPage, show

pytestmark = pytest.mark.slow

WIDTHS = (320, 360, 768, 1_280)
EVERYTHING = [*BLOCKS, *MORE_BLOCKS]
ALL_LOOKS = list(product(THEME_NAMES, ("light", "dark")))


def rendered(**changes: Any) -> PageDocument:
    return render_page(sample_page(EVERYTHING, **changes), SOURCES, NOW)


def faults(shown: ShownPage) -> list[str]:
    """Return what is wrong with a page at its widths; an empty list is what is wanted."""
    overflows = {width: shown.overflow(width) for width in WIDTHS}
    found = [f"{pixels} pixels too wide at {w}" for w, pixels in overflows.items() if pixels > 0]
    found += [f"refused: {name}" for name in shown.page.evaluate("window.refused")]
    return found + [f"outside: {url}" for url in shown.outside]


def violations(shown: ShownPage) -> list[str]:
    """Return what axe finds, with the element."""
    results = Axe().run(shown.page).response["violations"]
    return [f"{v['id']}: {node['html'][:120]}" for v in results for node in v["nodes"]]


def shift(browser: Any, page: PageDocument, **options: Any) -> float:
    """Return the cumulative layout shift of a page that loads and is scrolled to its end."""
    shown = show(browser, page, **options)
    shown.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    shown.page.wait_for_load_state("networkidle")
    return shown.number("window.shift")


def test_a_page_fits_every_width_loads_nothing_from_elsewhere_and_shuts_nobody_out(
    chromium: BrowserThread,
) -> None:
    page = rendered()

    def check(browser: Any) -> list[str]:
        shown = show(browser, page)
        return faults(shown) + violations(shown)

    assert chromium.run(check) == []


@pytest.mark.large
@pytest.mark.parametrize(("theme", "scheme"), ALL_LOOKS)
def test_nobody_is_shut_out_of_any_theme(chromium: BrowserThread, theme: str, scheme: str) -> None:
    page = rendered(theme=theme)

    def check(browser: Any) -> list[str]:
        shown = show(browser, page, color_scheme=scheme)
        return faults(shown) + violations(shown)

    assert chromium.run(check) == []


def test_nothing_moves_while_a_page_loads(chromium: BrowserThread) -> None:
    page = rendered()
    phone = {"width": 360, "height": 780}
    assert chromium.run(lambda browser: shift(browser, page, viewport=phone)) == 0


def test_long_words_large_texts_and_other_directions_fit(chromium: BrowserThread) -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitänskajütenschlüssel"
    long = rendered(name=word, bio=f"{word} {word}\n{word}")
    arabic = rendered(
        name="حديقة آدا", bio="بذور وفيديو بطيء من حديقة صغيرة", language="ar", theme="tide"
    )

    def check(browser: Any) -> list[str]:
        found = []
        for page in (long, arabic):
            shown = show(browser, page)
            # Twice as large texts: CSP has no style of ours, so the size is set as a user's setting would be.
            shown.page.evaluate("document.documentElement.style.setProperty('font-size', '200%')")
            found += faults(shown)
        assert (
            shown.page.evaluate("getComputedStyle(document.querySelector('h1')).direction") == "rtl"
        )
        return found

    assert chromium.run(check) == []


@pytest.mark.large
def test_a_page_can_be_printed(chromium: BrowserThread) -> None:
    page = rendered(theme="night", scheme="dark")

    def check(browser: Any) -> tuple[str, str]:
        shown = show(browser, page)
        shown.page.emulate_media(media="print")
        script = "getComputedStyle(document.querySelector('h1')).color"
        return shown.page.evaluate(script), shown.page.evaluate(script.replace("h1", "b"))

    assert chromium.run(check) == ("rgb(0, 0, 0)", "rgb(0, 0, 0)")


@pytest.mark.large
def test_nothing_is_transformed_where_less_motion_is_wanted(chromium: BrowserThread) -> None:
    page = rendered()

    def check(browser: Any) -> str:
        shown = show(browser, page, reduced_motion="reduce")
        shown.page.hover("a.card")
        result: str = shown.page.evaluate(
            "getComputedStyle(document.querySelector('a.card')).transform"
        )
        return result

    assert chromium.run(check) == "none"


@pytest.mark.large
def test_keyboards_reach_every_link_and_see_where_they_are(chromium: BrowserThread) -> None:
    page = rendered()

    def check(browser: Any) -> tuple[int, int, str]:
        shown = show(browser, page)
        reached = set()
        for _ in range(60):
            shown.page.keyboard.press("Tab")
            reached.add(
                shown.page.evaluate(
                    "[...document.querySelectorAll('*')].indexOf(document.activeElement)"
                )
            )
        focusable = "a[href], button, input:not([type=hidden]), summary"
        total = int(shown.number(f"document.querySelectorAll('{focusable}').length"))
        shown.page.focus("a.card")
        shown.page.keyboard.press("Tab")
        outline: str = shown.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        return len(reached), total, outline

    reached, total, outline = chromium.run(check)
    assert reached >= total
    assert outline == "3px"


@pytest.mark.large
@pytest.mark.timeout(1_200)
def test_no_hostile_text_runs_in_a_browser(chromium: BrowserThread) -> None:
    """Each page has a text in all its fields, and no policy that would hold it back."""

    def check(browser: Any) -> list[str]:
        context = browser.new_context()
        page, ran = context.new_page(), []
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.route("**/*", lambda route: route.abort())
        for text in hostile_texts():
            page.set_content(poisoned_document(text).body.decode(), wait_until="commit")
            # A handler that is to run does so in a later task than the parser's.
            if page.evaluate("new Promise(r => setTimeout(() => r(window.hacked), 0))"):
                ran.append(text)
        return ran

    assert chromium.run(check, timeout_s=900) == []


def test_the_check_sees_a_text_that_runs(chromium: BrowserThread) -> None:
    def check(browser: Any) -> Any:
        page = browser.new_context().new_page()
        page.set_content("<img src=x onerror=window.hacked=1>")
        return page.evaluate("new Promise(r => setTimeout(() => r(window.hacked), 50))")

    assert chromium.run(check) == 1
