"""The overview: its figures, a click that arrives, what each control leaves in the URL."""

import re
import time
from typing import Any

import httpx
import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = pytest.mark.slow

PHONE = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Mobile Safari/537.36"
)


def click(dashboard: Dashboard, path: str = "/demo/spring", times: int = 1) -> None:
    headers = {"User-Agent": PHONE, "Referer": "https://l.instagram.com/"}
    for _ in range(times):
        answered = httpx.get(f"{dashboard.engine.visitors}{path}", headers=headers, timeout=10)
        assert answered.status_code in (200, 302)


def test_a_click_is_seen_as_it_comes(dashboard: Dashboard) -> None:
    click(dashboard, times=2)
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo")
        page.wait_for_selector(".feed[data-state=open]")
        rows = page.locator(".feed li").count()
        click(dashboard, "/demo/video")
        page.wait_for_selector(".feed li:has-text('video')", timeout=5_000)
        assert page.locator(".feed li").count() > rows or rows == 7
        screen.assert_sound()

    dashboard.run(work)


def test_what_is_chosen_is_in_the_url_and_back_takes_it_back(dashboard: Dashboard) -> None:
    click(dashboard)
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo")
        page.wait_for_selector(".bars a")
        page.click("a.kpi:has-text('Visitors')")
        page.wait_for_url("**/p/demo?metric=visitors")
        page.click("button:has-text('7 d')")
        page.wait_for_url("**/p/demo?metric=visitors&period=7d")
        page.click(".bars a:has-text('Instagram')")
        page.wait_for_selector(".chip:has-text('Source is Instagram')")
        assert "filter[source]=Instagram" in page.url
        screen.assert_sound()
        page.click(".chip button")
        page.wait_for_url("**/p/demo?metric=visitors&period=7d")
        page.go_back()
        page.wait_for_selector(".chip")
        page.keyboard.press("x")
        page.wait_for_selector(".chip", state="detached")

    dashboard.run(work)


def test_the_chart_is_read_by_keyboard_and_as_a_table(dashboard: Dashboard) -> None:
    click(dashboard)
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo")
        page.focus(".plot .chart")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function("document.getElementById('say').textContent.includes('clicks')")
        page.keyboard.press("t")
        page.wait_for_selector(".plot table")
        assert page.locator(".plot tbody tr").count() == 30
        assert "so far" in page.inner_text(".plot tbody tr:last-child")
        screen.assert_sound()

    dashboard.run(work)


@pytest.mark.thorough
def test_axe_finds_nothing(dashboard: Dashboard) -> None:
    click(dashboard)
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> list[str]:
        screen.open("/p/demo")
        screen.page.wait_for_selector(".bars")
        return screen.axe_faults()

    assert dashboard.run(work) == []


def test_figures_stay_while_the_server_is_not_reached(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo")
        page.wait_for_selector("a.kpi strong")
        before = page.inner_text("a.kpi strong")
        page.context.set_offline(True)
        page.keyboard.press("r")
        page.wait_for_selector(".asof.warn:has-text('Not reached since')")
        assert page.inner_text("a.kpi strong") == before
        assert screen.foreign_words() == []
        page.context.set_offline(False)
        page.keyboard.press("r")
        page.wait_for_selector(".asof:not(.warn):has-text('Counted')")
        screen.faults.clear()  # Chromium reports what it could not load

    click(dashboard)
    dashboard.engine.wait_committed()
    dashboard.run(work)


def test_a_reader_s_wrong_clock_changes_nothing(dashboard: Dashboard) -> None:
    """Their day may be another one: what is over and how long ago it was is by the server's clock."""
    click(dashboard)
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> None:
        page = screen.page
        page.clock.set_system_time(time.time() + 86_400)
        screen.open("/p/demo")
        page.wait_for_selector(".chart .part")
        page.clock.set_system_time(time.time() + 86_400)
        screen.open("/account")
        page.wait_for_selector(".rows li")
        used = page.inner_text(".rows li:first-child .note")
        assert re.match(r"used (just now|\d+ (second|minute)s? ago), ", used), used

    dashboard.run(work)


def test_the_overview_is_light(dashboard: Dashboard) -> None:
    """With an experiment, and all that needs somebody: eight requests, 150 KB, 45 KB as they are sent. What is
    not new is not sent again."""
    with dashboard.engine.api() as client:  # the demo's profile has what other tests made
        path = profile_with_an_experiment(client)
    click(dashboard, "/weighed/spring")
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> None:
        page = screen.page
        answers: list[Any] = []
        page.on("response", lambda response: answers.append(response))
        screen.open("/p/weighed")
        page.wait_for_selector(".feed[data-state=open]")
        page.wait_for_selector(".exp .tag:has-text('running, day 1')")
        page.wait_for_selector(".todo li:not(:has(.sk))")
        page.wait_for_selector("a.kpi strong")
        done = [each for each in answers if not each.url.endswith("/live")]
        raw = sum(len(each.body()) for each in done)
        sent = sum(each.request.sizes()["responseBodySize"] for each in done)
        paths = [each.url.removeprefix(screen.url) for each in answers]
        assert len(paths) <= 8, "\n".join(paths)
        assert raw < 150_000, raw
        assert sent < 45_000, sent
        statuses: list[int] = []
        while (
            304 not in statuses and len(statuses) < 5
        ):  # a click of another test may just be counted
            with page.expect_response("**/stats/batch") as polled:
                page.keyboard.press("r")
            statuses.append(polled.value.status)
        assert statuses[-1] == 304
        tags = page.evaluate(
            """async path => {
                const first = await fetch(path);
                const headers = {'If-None-Match': first.headers.get('ETag')};
                const again = await fetch(path, {headers, cache: 'no-store'});
                return [first.status, again.status];
            }""",
            f"{path}/overview",
        )
        assert tags == [200, 304]

    dashboard.run(work)


def profile_with_an_experiment(client: httpx.Client) -> str:
    """Make a profile with a link, an experiment that runs and an invitation. Returns its path in the API."""
    profile = client.post("/v1/profiles", json={"handle": "weighed"}).raise_for_status().json()
    path = f"/v1/profiles/{profile['id']}"
    link = {"slug": "spring", "target": "https://example.com/"}
    link_id = client.post(f"{path}/links", json=link).raise_for_status().json()["id"]
    variants = [
        {"name": name, "weight": 1, "target": f"https://example.com/{name}"} for name in ("a", "b")
    ]
    draft = {"name": "Spring", "kind": "destination", "link_id": link_id, "variants": variants}
    made = client.post(f"{path}/experiments", json=draft).raise_for_status().json()
    client.post(f"/v1/experiments/{made['id']}/start").raise_for_status()
    invitation = {"email": "weighed@example.com", "role": "viewer", "expires_in_days": 1}
    client.post(f"{path}/invitations", json=invitation).raise_for_status()
    return path
