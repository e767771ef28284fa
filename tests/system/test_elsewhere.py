"""Pages elsewhere, in Chromium and of a server, over a running engine: own events to statistics and goals, and
experiments to results."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kit.browser import BrowserThread
from tests.kit.engines import Engine, eventually

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

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


def started_experiment(client: httpx.Client, path: str, **fields: Any) -> str:
    """Create and start an experiment of a profile. Returns its id."""
    body = {"name": fields["kind"], **fields}
    created = client.post(f"{path}/experiments", json=body)
    assert created.status_code == 201, created.text
    id_: str = created.json()["id"]
    assert client.post(f"/v1/experiments/{id_}/start").status_code == 200
    return id_


def results_of(client: httpx.Client, id_: str, *fields: str) -> dict[str, tuple[int, ...]]:
    variants = client.get(f"/v1/experiments/{id_}/results").json()["variants"]
    return {each["name"]: tuple(each[field] for field in fields) for each in variants}


def new_profile(client: httpx.Client, handle: str) -> tuple[str, str]:
    """Create a profile with a link that gives click ids. Returns (the profile's path, the link's id)."""
    profile = client.post("/v1/profiles", json={"handle": handle})
    assert profile.status_code == 201, profile.text
    path = f"/v1/profiles/{profile.json()['id']}"
    draft = {"slug": "spring", "target": "https://example.com/spring", "click_id": True}
    link = client.post(f"{path}/links", json=draft)
    assert link.status_code == 201, link.text
    return path, link.json()["id"]


def test_visitors_of_a_server_convert_in_experiments(engine: Engine) -> None:
    with engine.api() as client:
        path, link = new_profile(client, "server-front")
        titles = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1, "title": "Now"}]
        page = started_experiment(client, path, kind="page", link_id=link, variants=titles)
        targets = [
            {"name": name, "weight": 1, "target": f"https://example.com/{name}"} for name in "ab"
        ]
        target = started_experiment(
            client, path, kind="destination", link_id=link, variants=targets
        )

        def report(id_: str, number: int, **event: Any) -> Any:
            body = {"id": id_, "address": f"8.8.5.{number}", "user_agent": PHONE, **event}
            answer = client.post(f"{path}/events", json={"events": [body | {"experiments": True}]})
            assert answer.status_code in (200, 503), answer.text
            return answer.json().get("results", [{}])[0]

        bot = {"type": "view", "user_agent": "Googlebot/2.1"}  # until the edge knows of both
        eventually(lambda: report("known", 1, **bot).get("variants"))
        eventually(
            lambda: (
                "/a?"
                in report("target", 1, type="click", slug="spring", user_agent="curl/8")["target"]
            )
        )
        views: Counter[str] = Counter()
        clicks: Counter[str] = Counter()
        led: Counter[str] = Counter()
        sold: Counter[str] = Counter()
        for number in range(24):
            (shown,) = report(f"v{number}", number, type="view")["variants"]
            views[shown["variant"]] += 1
            assert shown["title"] == ("Now" if shown["variant"] == "b" else None)
            if number % 3:
                answer = report(f"c{number}", number, type="click", slug="spring")
                url, _, click_id = answer["target"].partition("?wp_click=")
                clicks[shown["variant"]] += 1
                led[url[-1]] += 1
                if number % 2:
                    assert (
                        client.post("/v1/conversions", json={"click_id": click_id}).status_code
                        == 201
                    )
                    sold[url[-1]] += 1
        assert len(views) == len(led) == 2
        engine.wait_committed()
        assert eventually(
            lambda: (
                results_of(client, page, "visitors", "converted")
                == {name: (views[name], clicks[name]) for name in "ab"}
            )
        )
        assert eventually(
            lambda: (
                results_of(client, target, "exposures", "visitors", "converted")
                == {name: (led[name], led[name], sold[name]) for name in "ab"}
            )
        )


def test_the_script_shows_the_variant_of_waypost_s_own_page(
    engine: Engine, chromium: BrowserThread
) -> None:
    with engine.api() as client:
        path, link = new_profile(client, "script-front")
        titles = [{"name": f"v{n}", "weight": 1, "title": f"Title {n}"} for n in range(4)]
        id_ = started_experiment(client, path, kind="page", link_id=link, variants=titles)
    edges = [f"{engine.visitors}/@script-front/variants.json"] * 8  # connections reach both edges
    eventually(lambda: all(httpx.get(url).json()["variants"] for url in edges))
    page = (
        '<a data-waypost="spring" href="#spring">?</a>'
        f'<script src="{engine.visitors}/waypost.js" data-profile="script-front" data-view="off"></script>'
        "<script>waypostVariants().then(all => {"
        "  document.querySelector('a').textContent = all[0].title; waypostView(); })</script>"
    )

    def show(browser: Any) -> tuple[str, str]:
        tab = browser.new_context(user_agent=PHONE).new_page()
        front = f"{engine.visitors}/front.html"
        tab.route(front, lambda route: route.fulfill(body=page, content_type="text/html"))
        with tab.expect_response(lambda response: "pixel.gif" in response.url):
            tab.goto(front)
        title = tab.locator("a").inner_text()
        with tab.expect_response(lambda response: "/spring/pixel.gif" in response.url):
            tab.locator("a").click()
        tab.goto(f"{engine.visitors}/@script-front")
        return title, tab.inner_text("body")

    title, own_page = chromium.run(show)
    assert title in own_page
    assert own_page.count("Title") == 1
    engine.wait_committed()
    with engine.api() as client:
        name = f"v{title[-1]}"
        assert eventually(
            lambda: (
                results_of(client, id_, "exposures", "visitors", "outcomes", "converted")
                == {f"v{n}": (0, 0, 0, 0) for n in range(4)} | {name: (2, 1, 1, 1)}
            )
        )
