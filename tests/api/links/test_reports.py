"""Reports and the operator's quarantines, over HTTP."""

import pytest

from tests.kit.consoles import Console


async def reported(console: Console) -> tuple[str, str]:
    """Return a link of the second tenant with two reports, and its path in the API."""
    body = {"target": "https://bank.example/", "slug": "spring"}
    link = (await console.call("POST", "/v1/links", body, key="two")).json
    for reporter in (b"1" * 8, b"2" * 8):
        await console.reports.report(2, int(link["id"]), reporter, "phishing", "words")
    return link["id"], f"/v1/links/{link['id']}"


async def test_members_see_that_a_link_was_reported_and_not_what_visitors_wrote() -> None:
    console = Console()
    _, path = await reported(console)
    page = (await console.call("GET", f"{path}/reports?limit=1", key="two")).json
    assert page["items"][0].keys() == {"id", "category", "reported_at", "reviewed_at"}
    assert page["next_cursor"]
    assert (await console.call("GET", f"{path}/reports")).status == 404


async def test_the_operator_sees_all_reports_quarantines_and_releases() -> None:
    console = Console()
    id_, path = await reported(console)
    listed = (await console.call("GET", "/v1/operator/reports")).json["items"]
    assert [(each["link_id"], each["reports"], each["details"]) for each in listed] == [
        (id_, 2, ["words", "words"])
    ]
    assert listed[0]["url"].endswith("/spring")
    quarantine = f"/v1/operator/links/{id_}/quarantine"
    body = {"reason": " a copy of a bank's page "}
    assert (await console.call("PUT", quarantine, body)).status == 204
    link = (await console.call("GET", path, key="two")).json
    assert link["engine_quarantine"]["rule"] == "operator"
    assert link["engine_quarantine"]["reason"] == "a copy of a bank's page"
    lifted = await console.call("PATCH", path, {"quarantined": False}, key="two")
    assert lifted.json["engine_quarantine"] == link["engine_quarantine"]
    refused = await console.call("PATCH", path, {"engine_quarantine": None}, key="two")
    assert refused.problem(422).keys() == {"engine_quarantine"}
    explained = (await console.call("GET", f"{path}/explain", key="two")).json
    assert "quarantined" in str(explained)
    assert (await console.call("GET", "/v1/operator/reports")).json["items"] == []
    assert (await console.call("DELETE", quarantine)).status == 204
    assert (await console.call("GET", path, key="two")).json["engine_quarantine"] is None


async def test_a_link_that_changed_since_the_operator_saw_it_is_not_reviewed() -> None:
    console = Console()
    id_, path = await reported(console)
    (seen,) = (await console.call("GET", "/v1/operator/reports")).json["items"]
    body = {"target": "https://other.example/"}
    changed = (await console.call("PATCH", path, body, key="two")).json
    assert changed["version"] > seen["version"]
    quarantine = f"/v1/operator/links/{id_}/quarantine"
    for method, sent in (("PUT", {"reason": "a"}), ("DELETE", None)):
        lost = await console.call(method, quarantine, sent, If_Match=f'"{seen["version"]}"')
        assert lost.status == 412
    tag = f'"{changed["version"]}"'
    assert (await console.call("DELETE", quarantine, If_Match=tag)).status == 204
    assert (await console.call("DELETE", quarantine, If_Match=tag)).status == 404  # answered


@pytest.mark.parametrize(
    ("body", "fields"),
    [({}, {"reason"}), ({"reason": " "}, {"reason"}), ({"reason": "a" * 201}, {"reason"}),
     ({"reason": "a", "rule": "blocklist"}, {"rule"}), ({"reason": 1}, {"reason"})],
)  # fmt: skip
async def test_a_bad_quarantine_is_refused(body: dict[str, object], fields: set[str]) -> None:
    console = Console()
    id_, _ = await reported(console)
    answered = await console.call("PUT", f"/v1/operator/links/{id_}/quarantine", body)
    assert answered.problem(422).keys() == fields


async def test_nobody_else_may_do_what_the_operator_may() -> None:
    console = Console()
    id_, _ = await reported(console)
    quarantine = f"/v1/operator/links/{id_}/quarantine"
    for method, path, body in (
        ("GET", "/v1/operator/reports", None),
        ("PUT", quarantine, {"reason": "a"}),
        ("DELETE", quarantine, None),
    ):
        assert "operator" in (await console.call(method, path, body, key="two")).json["detail"]
        assert (await console.call(method, path, body, key="two")).status == 403
    unknown = await console.call("DELETE", "/v1/operator/links/12345/quarantine")
    assert unknown.status == 404
