"""From Instagram's browser over the page to a link, at two edges: one question knows the whole way."""

import hashlib
import hmac
import os
import signal
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import httpx
import orjson
import pytest

from tests.kit.engines import Engine, eventually

pytestmark = pytest.mark.slow

INSTAGRAM = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 Instagram 390.0.0.28.85 (iPhone17,1; iOS 18_5; de_DE; de; scale=3.00; 1206x2622)"
)
CHROME = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Mobile Safari/537.36"
)
VISITORS = 12


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("way") / "data"
    started = Engine(folder, "--demo=links", "--edges", "2", WAYPOST_TRUSTED_HOPS="1")
    yield started
    started.kill()


def get(engine: Engine, path: str, agent: str, visitor: int, referrer: str) -> str:
    """Send a request on a new connection, which comes to either edge. Returns the target of a redirect."""
    address = engine.visitors.removeprefix("http://")
    headers = {"X-Forwarded-For": f"8.8.4.{visitor}", "User-Agent": agent, "Referer": referrer}
    connection = HTTPConnection(address, timeout=10)
    connection.request("GET", path, headers={k: v for k, v in headers.items() if v})
    response = connection.getresponse()
    assert response.status in (200, 302)
    connection.close()
    return response.headers.get("Location", "")


def demo_id(client: httpx.Client) -> str:
    profiles = client.get("/v1/profiles").json()["items"]
    profile_id: str = next(p["id"] for p in profiles if p["handle"] == "demo")
    return profile_id


def test_a_link_knows_the_way_of_its_visitors_whichever_edge_they_come_to(engine: Engine) -> None:
    page = "/@demo?utm_source=ig&utm_campaign=spring"
    for visitor in range(VISITORS):
        get(engine, page, INSTAGRAM, visitor, "https://l.instagram.com/")
        get(engine, "/@demo", CHROME, visitor, "https://l.instagram.com/")
    # Both edges know all entrances, whichever they came to.
    eventually(lambda: engine.metrics().get("waypost_entrances_kept") == 2 * 2 * VISITORS)
    for visitor in range(VISITORS):
        get(engine, "/demo/spring?wp_t=page", INSTAGRAM, visitor, engine.visitors + page)
        get(engine, "/demo/spring?wp_t=page", CHROME, visitor, engine.visitors + "/@demo")
    engine.wait_committed()
    filters = {
        "trigger": "page", "source": "Instagram", "country": "US", "device": "phone",
        "referrer": "l.instagram.com",
    }  # fmt: skip
    with engine.api() as client:
        profile_id = demo_id(client)
        question = {f"filter[{name}]": value for name, value in filters.items()}
        answer = client.get(
            f"/v1/profiles/{profile_id}/stats", params={**question, "group": "link,utm_campaign"}
        )
        assert answer.status_code == 200, answer.text
        clicks = {
            row["utm_campaign"]: row["clicks"] for row in answer.json()["rows"] if row["clicks"]
        }
        assert clicks == {"spring": VISITORS, None: VISITORS}
    by_edge = [v for n, v in engine.metrics().items() if n.startswith("waypost_edge_messages_lost")]
    assert sum(by_edge) == 0


def test_events_of_a_server_are_counted_once_though_edges_are_killed(engine: Engine) -> None:
    events = [
        {"id": f"e{number}", "type": "click", "slug": "spring", "address": f"8.8.8.{number}",
         "user_agent": CHROME, "url": "https://front.example/?utm_source=newsletter"}
        for number in range(20)
    ]  # fmt: skip
    with engine.api() as client:
        profile_id = demo_id(client)

        def report() -> Any:
            answer = client.post(f"/v1/profiles/{profile_id}/events", json={"events": events})
            assert answer.status_code in (200, 503), answer.text
            return answer.status_code == 200 and [r["outcome"] for r in answer.json()["results"]]

        assert eventually(report) == ["recorded"] * 20
        for pid in engine.pids("edge"):
            os.kill(pid, signal.SIGKILL)
        assert eventually(report) == ["duplicate"] * 20
        question = {
            "filter[domain]": "front.example", "filter[utm_source]": "newsletter",
            "filter[country]": "US", "filter[device]": "phone",
        }  # fmt: skip

        def totals() -> Any:
            totals = client.get(f"/v1/profiles/{profile_id}/stats", params=question).json()[
                "totals"
            ]
            return totals["clicks"] >= 20 and totals

        counted = eventually(totals)
        assert (counted["clicks"], counted["views"], counted["visitors"]) == (20, 0, 20)


def test_a_sale_is_counted_by_the_way_of_its_visitor_from_instagram_to_the_shop(
    engine: Engine,
) -> None:
    page = "/@demo?utm_source=ig&utm_campaign=sale"
    secret = "whsec_of_the_shop"

    def post(client: httpx.Client, path: str, body: Any) -> Any:
        answer = client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def send(event: dict[str, Any]) -> httpx.Response:
        body, at = orjson.dumps(event), int(time.time())
        code = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
        headers = {"Stripe-Signature": f"t={at},v1={code}", "Content-Type": "application/json"}
        return httpx.post(hook["url"], content=body, headers=headers, timeout=10)

    with engine.api() as client:
        profile = f"/v1/profiles/{demo_id(client)}"
        post(client, f"{profile}/links",
             {"slug": "tea", "target": "https://shop.example/tea", "click_id": True})  # fmt: skip
        hook = post(
            client,
            f"{profile}/conversion-hooks",
            {"label": "Shop", "shop": "stripe", "secrets": [secret]},
        )
        get(engine, page, INSTAGRAM, 99, "https://l.instagram.com/")
        target = eventually(
            lambda: get(engine, "/demo/tea?wp_t=page", INSTAGRAM, 99, engine.visitors + page)
        )
        click_id = target.partition("wp_click=")[2]
        paid = {"payment_status": "paid", "payment_intent": "pi_1", "currency": "eur",
                "amount_total": 4990, "client_reference_id": click_id}  # fmt: skip
        charge = {"payment_intent": "pi_1", "currency": "eur", "amount_refunded": 990, "id": "ch_1"}
        refund = {
            "type": "charge.refunded",
            "created": int(time.time()),
            "data": {"object": charge},
        }
        assert send(refund).status_code == 200  # out of order
        order = {
            "type": "checkout.session.completed",
            "created": int(time.time()),
            "data": {"object": paid},
        }
        assert [send(order).status_code for _ in range(2)] == [201, 200]
        assert httpx.post(hook["url"], json=order, timeout=10).status_code == 401
        question = {
            "filter[source]": "Instagram", "filter[utm_campaign]": "sale", "filter[country]": "US",
            "filter[device]": "phone", "metrics": "clicks,conversions,revenue,conversion_rate",
            "group": "link",
        }  # fmt: skip

        def totals() -> Any:
            answer = client.get(f"{profile}/stats", params=question)
            assert answer.status_code == 200, answer.text
            (row, *_) = answer.json()["rows"] or [{}]
            return row.get("conversions") and row

        row = eventually(totals)
        assert (row["slug"], row["clicks"], row["conversions"]) == ("tea", 1, 1)
        assert (row["revenue"], row["conversion_rate"]) == ({"EUR": "40.00"}, 1.0)
