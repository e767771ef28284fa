"""Targets on the operator's blocklist, at shorteners, and lookalikes, over HTTP."""

from engine.links.targets.blocklist import Blocklist
from engine.operations.settings import Settings
from tests.kit.consoles import VISITORS, Console

BAD = "https://www.bad.example/x"
GOOD = "https://good.example/"


async def test_a_blocked_target_is_refused_wherever_it_stands() -> None:
    console = Console(blocklist=Blocklist(frozenset({"bad.example"})))
    profile = await console.profile()
    links = f"/v1/profiles/{profile['id']}/links"
    rules = [{"when": {"device": ["phone"]}, "target": BAD}]
    body = {"target": BAD, "fallback_target": BAD, "rules": rules}
    problem = (await console.call("POST", links, body)).problem(422)
    assert problem.keys() == {"target", "fallback_target", "rules[0].target"}
    assert "bad.example" in problem["target"]
    operation = {"op": "create", "target": BAD}
    bulk = await console.call("POST", f"{links}/bulk", {"operations": [operation]})
    assert bulk.json["results"][0]["status"] == 422
    put = await console.call("PUT", f"{links}/external/e-1", {"target": BAD})
    assert put.problem(422).keys() == {"target"}
    assert (await console.call("POST", "/v1/links", {"target": BAD})).status == 422
    assert (await console.call("POST", links, {"target": GOOD})).status == 201


async def test_a_link_to_a_target_that_is_blocked_later_may_be_quarantined() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"], target=BAD)
    console.blocklist = Blocklist(frozenset({"bad.example"}))
    path = f"/v1/links/{link['id']}"
    changed = await console.call("PATCH", path, {"quarantined": True, "target": BAD})
    assert changed.status == 200, changed.body
    refused = await console.call("PATCH", path, {"target": BAD + "/other"})
    assert refused.problem(422).keys() == {"target"}


async def test_doubtful_targets_are_warned_of_in_the_answers_to_changes() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"], target="https://bit.ly/a")
    assert [warning["field"] for warning in link["warnings"]] == ["target"]
    assert "shortener" in link["warnings"][0]["reason"]
    body = {"target": GOOD, "fallback_target": "https://paypa1.example/"}
    changed = (await console.call("PATCH", f"/v1/links/{link['id']}", body)).json
    assert [warning["field"] for warning in changed["warnings"]] == ["fallback_target"]
    assert "warnings" not in (await console.call("GET", f"/v1/links/{link['id']}")).json


async def test_settings_refuse_shorteners_and_quarantine_lookalikes() -> None:
    settings = Settings(
        visitors_url=VISITORS + "/", chained_shorteners="refuse", lookalike_hosts="quarantine"
    )
    console = Console(settings=settings)
    profile = await console.profile()
    links = f"/v1/profiles/{profile['id']}/links"
    refused = await console.call("POST", links, {"target": "https://bit.ly/a"})
    assert "shortener" in refused.problem(422)["target"]
    link = await console.link(profile["id"], target="https://paypa1.example/")
    assert link["quarantined"]
    assert "paypal.com" in link["quarantine_reason"]
    path = f"/v1/links/{link['id']}"
    assert (await console.call("PATCH", path, {"quarantined": False})).json["quarantined"]
    freed = {"target": GOOD, "quarantined": False}
    assert not (await console.call("PATCH", path, freed)).json["quarantined"]
    domain = {"host": "links.example.org", "root_target": "https://bit.ly/a"}
    domains = await console.call("POST", f"/v1/profiles/{profile['id']}/domains", domain)
    assert domains.problem(422).keys() == {"root_target"}
