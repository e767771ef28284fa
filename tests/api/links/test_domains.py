"""Domains over the API: made, listed, changed, deleted and looked at; what is refused, and to whom."""

from engine.links.domain import TxtAnswer, look_result, record_value
from engine.links.orphan_visits import OrphanCount
from tests.kit.consoles import NOW, VISITORS, Console

HOST = {"host": "Links.Example.com", "root_target": "https://example.com/"}


async def test_a_domain_is_made_verified_changed_and_deleted() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    path = f"/v1/profiles/{profile}/domains"
    made = await console.call("POST", path, HOST)
    domain = made.json
    assert made.status == 201
    assert made.headers["Location"] == f"/v1/domains/{domain['id']}"
    assert (domain["host"], domain["state"]) == ("links.example.com", "pending")
    record = domain["txt_record"]
    assert record["name"] == "_waypost.links.example.com"
    assert record["value"].startswith("waypost=")
    assert (await console.call("GET", path)).json["items"] == [domain]

    due = await console.domains.claim(10)
    await console.domains.record([look_result(each, TxtAnswer((record["value"],))) for each in due])
    url = f"/v1/domains/{domain['id']}"
    verified = (await console.call("GET", url)).json
    assert (verified["state"], verified["version"]) == ("verified", 2)
    changed = await console.call("PATCH", url, {"root_target": None}, If_Match='"2"')
    assert (changed.status, changed.json["root_target"], changed.json["version"]) == (200, None, 3)
    (await console.call("DELETE", url, If_Match='"2"')).problem(412)
    looked = await console.call("POST", f"{url}/verify")
    assert (looked.status, looked.json["state"]) == (202, "verified")
    assert (await console.call("DELETE", url)).status == 204
    (await console.call("GET", url)).problem(404)


async def test_bad_hosts_and_targets_are_named() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/domains"
    for host in ("", "localhost", "1.2.3.4", "a.example/x", "a.example:8080", VISITORS[8:]):
        refused = await console.call(
            "POST", path, {"host": host, "root_target": "ftp://a.example/"}
        )
        assert refused.problem(422).keys() == {"host", "root_target"}, host
    assert (await console.call("POST", path, {})).problem(422).keys() == {"host"}
    made = (await console.call("POST", path, {"host": "bücher.example"})).json
    assert made["host"] == "xn--bcher-kva.example"
    twice = await console.call("POST", path, {"host": "xn--bcher-kva.example"})
    assert twice.problem(409).keys() == {"host"}
    url = f"/v1/domains/{made['id']}"
    assert (await console.call("PATCH", url, {"host": "b.example"})).problem(422).keys() == {"host"}


async def test_strangers_are_answered_as_if_there_were_no_domain() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/domains"
    url = f"/v1/domains/{(await console.call('POST', path, HOST)).json['id']}"
    calls: tuple[tuple[str, str, dict[str, str] | None], ...] = (
        ("GET", url, None), ("PATCH", url, {}), ("DELETE", url, None), ("POST", f"{url}/verify", None),
        ("GET", path, None), ("POST", path, HOST), ("GET", f"{url}/orphans", None),
    )  # fmt: skip
    for method, target, body in calls:
        (await console.call(method, target, body, key="two")).problem(404)
    (await console.call("GET", "/v1/domains/x")).problem(404)


async def test_visits_that_led_to_no_link_are_listed_by_path() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/domains"
    domain = (await console.call("POST", path, HOST)).json
    url = f"/v1/domains/{domain['id']}/orphans"
    expected = {"domain_id": domain["id"], "period": "7d", "items": []}
    assert (await console.call("GET", url)).json == expected
    due = await console.domains.claim(10)
    looks = [look_result(each, TxtAnswer((record_value(each.token),))) for each in due]
    await console.domains.record(looks)
    await console.orphan_visits.add([OrphanCount(domain["host"], "/sprng", 3)])
    listed = await console.call("GET", f"{url}?period=30d")
    day = f"{NOW:%Y-%m-%d}"
    assert listed.json["items"] == [{"path": "/sprng", "visits": 3, "last_day": day}]
    for bad in ("0d", "31d", "7", "d", "7d&colour=red"):
        assert (await console.call("GET", f"{url}?period={bad}")).problem(422)


async def test_a_proxy_learns_for_which_hosts_it_may_get_certificates() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/domains"
    await console.call("POST", path, HOST)

    async def ask(host: str) -> int:
        answer = await console.call("GET", f"/internal/tls-ask?domain={host}", key="")
        return answer.status

    assert await ask("links.example.com") == 404  # not verified yet
    due = await console.domains.claim(10)
    looks = [look_result(each, TxtAnswer((record_value(each.token),))) for each in due]
    await console.domains.record(looks)
    for host, status in (
        ("links.example.com", 200), ("LINKS.example.com", 200), (VISITORS[8:], 200),
        ("other.example.com", 404), ("1.2.3.4", 404), ("links.example.com%2Fx", 404), ("%00", 404),
    ):  # fmt: skip
        assert await ask(host) == status, host
    for query in ("", "?domain=", "?host=a.example"):
        answer = await console.call("GET", f"/internal/tls-ask{query}", key="")
        assert "domain" in answer.problem(422)
