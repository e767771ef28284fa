"""Targets on the operator's blocklist, over HTTP."""

from engine.links.targets.blocklist import Blocklist
from tests.kit.consoles import Console

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
