"""Own events from a page in Chromium and from a server, to statistics and goals, over a running engine."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kit.browser import BrowserThread
from tests.kit.engines import Engine, eventually

pytestmark = pytest.mark.slow

PHONE = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Mobile Safari/537.36"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    started = Engine(tmp_path_factory.mktemp("events") / "data", "--demo=links", "--edges", "2")
    yield started
    started.kill()


def demo_path(client: httpx.Client) -> str:
    profiles = client.get("/v1/profiles").json()["items"]
    profile_id: str = next(p["id"] for p in profiles if p["handle"] == "demo")
    return f"/v1/profiles/{profile_id}"


def totals(client: httpx.Client, path: str, **parameters: str) -> Any:
    answer = client.get(f"{path}/stats", params={"group": "event", **parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()["totals"]


def test_events_of_a_server_are_counted_apart_and_reach_a_goal(engine: Engine) -> None:
    with engine.api() as client:
        path = demo_path(client)
        before = client.get(f"{path}/stats").json()["totals"]
        goal = {"name": "Pro sign-ups", "event": "signup", "property": "plan=pro"}
        assert client.post(f"{path}/goals", json=goal).status_code == 201
        visitors = [f"8.8.4.{number}" for number in range(8)]
        views = [
            {"id": f"v{n}", "type": "view", "address": address, "user_agent": PHONE,
             "url": "https://front.example/?utm_source=newsletter"}
            for n, address in enumerate(visitors)
        ]  # fmt: skip
        events = [
            {"id": f"s{n}", "event": "signup", "address": address, "user_agent": PHONE,
             "properties": {"plan": "pro" if n % 2 else "free", "seats": n}}
            for n, address in enumerate(visitors[:6])
        ]  # fmt: skip

        def report(batch: list[dict[str, Any]]) -> set[str]:
            answer = client.post(f"{path}/events", json={"events": batch})
            assert answer.status_code in (200, 503), answer.text
            return {result["outcome"] for result in answer.json().get("results", [])}

        assert eventually(lambda: report(views)) == {"recorded"}  # once the edge is there
        assert report(events) == {"recorded"}
        assert report(events) == {"duplicate"}
        engine.wait_committed()
        # The way of an event is that of its visitor's entrance.
        way = {
            "filter[utm_source]": "newsletter",
            "filter[device]": "phone",
            "filter[country]": "US",
        }
        assert eventually(lambda: totals(client, path, **way) == {"events": 6, "visitors": 6})
        pro = {"filter[event]": "signup", "filter[property]": "plan=pro"}
        assert totals(client, path, **pro) == {"events": 3, "visitors": 3}
        after = client.get(f"{path}/stats").json()["totals"]
        assert after["views"] - before["views"] == after["visitors"] - before["visitors"] == 8
        assert after["clicks"] == before["clicks"]
        answer = client.get(f"{path}/goal-results", params={**way, "period": "day"}).json()
        (reached,) = answer["goals"]
        assert (answer["visitors"], reached["reached"], reached["rate"]) == (8, 3, 0.375)
        assert b"s1" not in client.get(f"{path}/clicks/export?format=csv&from=2020-01-01").content


def test_the_script_reports_an_event_of_a_page(engine: Engine, chromium: BrowserThread) -> None:
    page = (
        f'<script src="{engine.visitors}/waypost.js" data-profile="demo" data-view="off"></script>'
        '<script>waypost("copied", {what: "code & <tag>", times: 2})</script>'
    )

    def show(browser: Any) -> list[str]:  # a headless browser says that it is one, and is a bot
        tab = browser.new_context(user_agent=PHONE).new_page()
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        # A page of another address space than the loopback's would have to ask before it may report.
        front = f"{engine.visitors}/front.html"
        tab.route(front, lambda route: route.fulfill(body=page, content_type="text/html"))
        with tab.expect_response(lambda response: "pixel.gif" in response.url):
            tab.goto(front)
        return errors

    assert chromium.run(show) == []
    engine.wait_committed()
    with engine.api() as client:
        path = demo_path(client)
        question = {"group": "property", "filter[event]": "copied"}

        def rows() -> Any:
            answer = client.get(f"{path}/stats", params=question).json()
            return {row["property"]: row["events"] for row in answer["rows"]}

        assert eventually(lambda: rows() == {"what=code & <tag>": 1, "times=2": 1})
