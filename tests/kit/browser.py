"""Chromium for tests, one for each session, driven by Playwright in a thread of its own.

Playwright's loop stays set as the running one of its thread, where no other asyncio loop could run then. A test
hands over a function, which gets the browser and runs in that thread:

    def test_the_page_fits(chromium: BrowserThread) -> None:
        assert chromium.run(lambda browser: width_of(browser)) <= 360
"""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import pytest

Result = TypeVar("Result")

CHROMIUM: Final = "/usr/bin/chromium"
# Of one function: a browser that hangs fails its test, not the session.
TIMEOUT_S: Final = 110.0
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync", "--disable-default-apps",
)  # fmt: skip


def program() -> str | None:
    """Return the path of Chromium, None where there is none."""
    return CHROMIUM if os.access(CHROMIUM, os.X_OK) else shutil.which("chromium")


class BrowserThread:
    """A thread with one headless Chromium. Functions run one after another."""

    def __init__(self, path: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="browser")
        try:
            self._playwright, self._browser = self._thread.submit(self._launch, path).result(
                TIMEOUT_S
            )
        except BaseException:
            self._thread.shutdown(wait=False, cancel_futures=True)
            raise

    @staticmethod
    def _launch(path: str) -> tuple[Any, Any]:
        from playwright.sync_api import sync_playwright

        playwright = sync_playwright().start()
        try:
            browser = playwright.chromium.launch(
                executable_path=path, headless=True, args=list(ARGUMENTS)
            )
        except BaseException:
            playwright.stop()
            raise
        return playwright, browser

    def run(self, work: Callable[[Any], Result], timeout_s: float = TIMEOUT_S) -> Result:
        """Return what `work` returns of the browser, a playwright.sync_api.Browser. Contexts that it leaves
        open are closed, so that no test meets another's pages. Raises what `work` raises."""
        return self._thread.submit(self._in_thread, work).result(timeout_s)

    def _in_thread(self, work: Callable[[Any], Result]) -> Result:
        try:
            return work(self._browser)
        finally:
            for context in self._browser.contexts:
                context.close()

    def close(self) -> None:
        """End Chromium and the thread."""

        def stop() -> None:
            self._browser.close()
            self._playwright.stop()

        self._thread.submit(stop).result(TIMEOUT_S)
        self._thread.shutdown()


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserThread]:
    """The session's Chromium."""
    path = program()
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium")
    browser = BrowserThread(path)
    yield browser
    browser.close()
