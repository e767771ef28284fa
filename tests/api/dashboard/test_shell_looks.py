"""Every screen in its four looks: what axe finds, and words that are a program's instead of a reader's."""

import re

import pytest

from tests.kit.dashboards import Dashboard, Screen
from tests.kit.screenshots import screens

pytestmark = [pytest.mark.thorough, pytest.mark.large, pytest.mark.timeout(600)]

SETTLED_MS = 1_200
# Codes as the API writes them: `link.updated`, `raw_retention_days`, `links.check`.
CODES = re.compile(
    r"(?<![\w./@-])(?:[a-z]{2,}_[a-z_]{2,}|[a-z]{3,}s?\.(?:created|updated|deleted|check|sync|purge))(?![\w/-])"
)


def visit(screen: Screen, path: str) -> None:
    screen.open(path)
    screen.page.wait_for_load_state("load")
    screen.page.wait_for_timeout(SETTLED_MS)  # what it asks for has come and is drawn


def test_axe_finds_nothing_on_any_screen_in_any_look(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> dict[str, list[str]]:
        faults = {}
        for _, path in screens():
            visit(screen, path)
            if found := screen.axe_faults_of_all_looks():
                faults[path] = found
        return faults

    assert dashboard.run(work, timeout_s=500) == {}


def test_no_screen_shows_a_code(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> dict[str, list[str]]:
        codes = {}
        for _, path in screens():
            visit(screen, path)
            screen.open_details(30)
            screen.assert_sound()
            # What is to be copied into a program is a program's.
            screen.page.evaluate(
                "document.querySelectorAll('pre, code').forEach(each => each.remove())"
            )
            text = screen.page.inner_text("body")
            if found := sorted(set(CODES.findall(text))):
                codes[path] = found
        return codes

    assert dashboard.run(work, timeout_s=500) == {}
