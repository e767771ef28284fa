"""The dashboard of a real engine in Chromium, watched for what no screen may do."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.kit.browser import TIMEOUT_S, BrowserThread
from tests.kit.engines import Engine

Result = TypeVar("Result")

WIDTHS: Final = (320, 360, 768, 1280, 2560)
WAIT_MS: Final = 20_000
# Words of a program that a reader must never meet: values that are not there, and times as programs write them.
FOREIGN: Final = re.compile(
    r"undefined|\bNaN\b|\[object|\bnull\b|Invalid Date|\d{4}-\d\d-\d\dT\d\d:\d\d"
)
ALL_RULES: Final[dict[str, Any]] = {"resultTypes": ["violations"]}
COLOURS: Final[dict[str, Any]] = {"runOnly": ["color-contrast"]}
_REPORT_VIOLATIONS: Final = """
addEventListener('securitypolicyviolation', event =>
    console.error(`policy ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""


@dataclass
class Screen:
    """A page of the dashboard. `faults` are what it did that it must not: errors, foreign requests, violations
    of its policy."""

    page: Any
    url: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a path and wait until it shows its title."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector("h1")

    def sign_in(self, email: str, password: str) -> None:
        self.open("/login")
        self.page.fill("input[type=email]", email)
        self.page.fill("input[type=password]", password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("nav")

    def overflows(self) -> dict[int, int]:
        """Return by how many pixels the page is too wide, for each width at which it is."""
        too_wide, before = {}, self.page.viewport_size
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 800})
            beyond = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if beyond > 0:
                too_wide[width] = beyond
        self.page.set_viewport_size(before)
        return too_wide

    def open_details(self, most: int) -> None:
        """Open the first closed entries of the screen, whose content is drawn only then."""
        closed = self.page.locator("main details:not([open]) > summary")
        for _ in range(min(most, closed.count())):
            closed.first.click()

    def foreign_words(self) -> list[str]:
        """Return the words of a program in the page's text and in its labels."""
        text: str = self.page.evaluate(
            """() => {
                const names = ['aria-label', 'aria-valuetext', 'title', 'placeholder', 'alt'];
                const labels = [...document.querySelectorAll(names.map(name => `[${name}]`))]
                    .flatMap(element => names.map(name => element.getAttribute(name) ?? ''));
                // Code, such as the body that a webhook gets, is shown as it is.
                const codes = [...document.querySelectorAll('pre.code')].map(code => code.innerText);
                const without = (text, code) => text.replace(code, '');
                const text = codes.filter(Boolean).reduce(without, document.body.innerText);
                return [document.title, text, ...labels].join('\\n');
            }"""
        )
        return FOREIGN.findall(text)

    def axe_faults(self) -> list[str]:
        """Return what axe finds on the page, and of its colours in the dark: rule, and the first element that
        breaks it."""
        light = self._axe()
        return light + [f"dark: {fault}" for fault in self.in_theme("dark", COLOURS)]

    def axe_faults_of_all_looks(self) -> list[str]:
        """Return what axe finds in light and dark, on a desktop and a phone."""
        faults, before = [], self.page.viewport_size
        for width in (1280, 360):
            self.page.set_viewport_size({"width": width, "height": 800})
            for theme in ("light", "dark"):
                faults += [f"{theme} {width}: {fault}" for fault in self.in_theme(theme)]
        self.page.set_viewport_size(before)
        return faults

    def in_theme(self, theme: str, options: dict[str, Any] | None = None) -> list[str]:
        """Return what axe finds in a theme. What moves would be seen half-way."""
        self.page.emulate_media(reduced_motion="reduce")
        self.page.evaluate("name => { document.documentElement.dataset.theme = name; }", theme)
        faults = self._axe(options)
        self.page.evaluate("() => { delete document.documentElement.dataset.theme; }")
        return faults

    def _axe(self, options: dict[str, Any] | None = None) -> list[str]:
        response = Axe().run(self.page, options=ALL_RULES | (options or {})).response
        return [
            f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in response["violations"]
        ]

    def assert_sound(self) -> None:
        """Assert what holds for every screen in every state."""
        assert self.faults == []
        assert self.foreign_words() == []
        assert self.overflows() == {}


class Dashboard:
    """The dashboard of a running engine. Functions run in the browser's thread."""

    def __init__(self, engine: Engine, chromium: BrowserThread) -> None:
        self.engine = engine
        self._chromium = chromium
        self._cookies: list[Any] = []

    def run(
        self,
        work: Callable[[Screen], Result],
        *,
        signed_in: bool = True,
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> Result:
        """Return what `work` returns of a screen in a context of its own, whose `options` are Playwright's.

        Raises AssertionError if the screen did what it must not.
        """

        def in_thread(browser: Any) -> Result:
            context = browser.new_context(
                **{"timezone_id": "Europe/Rome", "locale": "en-GB"} | options
            )
            context.set_default_timeout(WAIT_MS)
            context.add_init_script(_REPORT_VIOLATIONS)
            screen = watched(context.new_page(), self.engine.console)
            if signed_in:
                self._sign_in(context)
            answer = work(screen)
            assert screen.faults == []
            return answer

        return self._chromium.run(in_thread, timeout_s)

    def _sign_in(self, context: Any) -> None:
        """Give a context the owner's session. All share one, as logins of an account are limited."""
        if self._cookies:
            context.add_cookies(self._cookies)
            return
        owner = self.engine.owner
        login = {"email": owner["email"], "password": owner["password"]}
        assert context.request.post(f"{self.engine.console}/v1/session", data=login).ok
        self._cookies = context.cookies()


def watched(page: Any, url: str) -> Screen:
    """Return a screen that notes the page's faults. A problem that the server answers is none."""
    screen = Screen(page, url)

    def on_console(message: Any) -> None:
        expected = message.text.startswith("Failed to load resource: the server responded with")
        if message.type in ("error", "warning") and not expected:
            screen.faults.append(f"console: {message.text}")

    def on_request(request: Any) -> None:
        if not request.url.startswith((url + "/", "data:")):
            screen.faults.append(f"outside: {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: screen.faults.append(f"error: {error}"))
    page.on("request", on_request)
    return screen


@pytest.fixture(scope="session")
def dashboard(
    tmp_path_factory: pytest.TempPathFactory, chromium: BrowserThread
) -> Iterator[Dashboard]:
    """The dashboard of an engine with the demo's profile, one for all tests of a session."""
    folder = tmp_path_factory.mktemp("dashboard") / "data"
    engine = Engine(folder, "--demo=links", "--edges", "1", WAYPOST_WEBHOOK_LOOPBACK="1")
    yield Dashboard(engine, chromium)
    engine.kill()
