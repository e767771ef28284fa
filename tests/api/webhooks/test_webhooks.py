"""Webhooks and deliveries through the API: creating, changing, replaying, and invalid requests."""

from typing import Any

import msgspec
import pytest
from jsonschema_rs import validator_for

from engine.operations.settings import Settings
from engine.webhooks.delivery import Attempt, AttemptResult
from engine.webhooks.events import EVENT_TYPES, EventDraft, LinkMilestone
from engine.webhooks.signature import SignatureError, sign, verify
from tests.kit.consoles import NOW, VISITORS, Console

HOOK: dict[str, Any] = {"url": "https://example.com/hook", "event_types": ["*"]}


async def created(console: Console, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Create a profile and a webhook, and return both."""
    profile = await console.profile()
    response = await console.call("POST", f"/v1/profiles/{profile['id']}/webhooks", HOOK | fields)
    assert response.status == 201, response.body
    return profile, response.json


async def happened(console: Console, profile: dict[str, Any], count: int = 1) -> None:
    """Add events of the profile, and a failed attempt at each of their deliveries."""
    data = LinkMilestone(profile_id=profile["id"], link_id="5", clicks=10)
    draft = EventDraft(1, int(profile["id"]), "link.milestone", data)
    console.webhooks.append_to_outbox([draft] * count)
    await console.webhooks.fan_out(100)
    due = await console.webhooks.claim("me", 60, 100, 100, (), ())
    answer = AttemptResult(500, response=b"\xffno")
    await console.webhooks.record(
        "me", [Attempt(delivery, NOW, 12, answer, None) for delivery in due]
    )


async def test_create_read_change_and_delete() -> None:
    console = Console()
    profile, webhook = await created(console, description="our shop")
    assert webhook["secret"].startswith("whsec_")
    assert (webhook["profile_id"], webhook["event_types"], webhook["enabled"]) == (
        profile["id"],
        ["*"],
        True,
    )
    path = f"/v1/webhooks/{webhook['id']}"
    read = await console.call("GET", path)
    assert read.json == {k: v for k, v in webhook.items() if k != "secret"}
    assert (await console.call("GET", path, If_None_Match=read.headers["ETag"])).status == 304
    listed = await console.call("GET", f"/v1/profiles/{profile['id']}/webhooks")
    assert listed.json == {"items": [read.json], "next_cursor": None}
    body = {"event_types": ["member.*", "link.created"], "enabled": False}
    changed = await console.call("PATCH", path, body, If_Match='"1"')
    assert changed.json["event_types"] == ["link.created", "member.*"]
    assert (changed.json["url"], changed.json["enabled"], changed.json["version"]) == (
        HOOK["url"], False, 2,
    )  # fmt: skip
    (await console.call("PATCH", path, body | {"enabled": True}, If_Match='"1"')).problem(412)
    limited = await console.call("PATCH", path, {"max_concurrency": 2, "max_rate": 20})
    assert (limited.json["max_concurrency"], limited.json["max_rate"]) == (2, 20)
    freed = await console.call("PATCH", path, {"max_rate": None})
    assert (freed.json["max_concurrency"], freed.json["max_rate"]) == (2, None)
    assert (await console.call("DELETE", path, If_Match='"4"')).status == 204
    (await console.call("GET", path)).problem(404)


@pytest.mark.parametrize("signature", ["v1", "v1a"])
async def test_after_a_rotation_requests_are_signed_with_both_secrets(signature: str) -> None:
    console = Console()
    profile, webhook = await created(console, signature=signature)
    response = await console.call("POST", f"/v1/webhooks/{webhook['id']}/rotate-secret")
    assert (response.status, response.json["version"]) == (200, 2)
    console.webhooks.append_to_outbox(
        [EventDraft(1, int(profile["id"]), "link.milestone",
                    LinkMilestone(profile_id=profile["id"], link_id="5", clicks=10))]
    )  # fmt: skip
    await console.webhooks.fan_out(1)
    (due,) = await console.webhooks.claim("me", 60, 9, 9, (), ())
    signed = " ".join(sign(secret, "a", 1, b"") for secret in due.secrets)
    sent = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": signed}
    for version in (webhook, response.json):
        assert ("secret" in version) == (signature == "v1")
        assert (version["public_key"] is None) == (signature == "v1")
        verify(version.get("secret") or version["public_key"], sent, b"", 1)
    with pytest.raises(SignatureError):
        verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", sent, b"", 1)


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        ({}, {"url", "event_types"}),
        ({"url": 5, "event_types": "x"}, {"url", "event_types"}),
        (HOOK | {"url": "http://example.com/"}, {"url"}),
        (HOOK | {"url": "https://10.0.0.1/"}, {"url"}),
        (HOOK | {"url": "https://u:p@example.com/"}, {"url"}),
        (HOOK | {"url": "https://example.com/\r\nx: y"}, {"url"}),
        (HOOK | {"event_types": ["link.exploded"]}, {"event_types"}),
        (HOOK | {"description": "\x00" * 300}, {"description"}),
        (HOOK | {"signature": "none"}, {"signature"}),
        (HOOK | {"max_concurrency": 0, "max_rate": 10_001}, {"max_concurrency", "max_rate"}),
        (HOOK | {"max_concurrency": 2.5, "max_rate": "9"}, {"max_concurrency", "max_rate"}),
        (HOOK | {"ordered": "yes", "enabled": None, "secret": "mine"}, {"ordered", "enabled", "secret"}),
    ],
)  # fmt: skip
async def test_bad_fields_are_all_named(body: dict[str, Any], bad: set[str]) -> None:
    console = Console()
    profile = await console.profile()
    response = await console.call("POST", f"/v1/profiles/{profile['id']}/webhooks", body)
    assert response.problem(422).keys() == bad
    _, webhook = await created(Console())
    assert webhook["version"] == 1


async def test_a_loopback_url_needs_the_setting() -> None:
    body = HOOK | {"url": "http://127.0.0.1:9000/hook"}
    console = Console()
    profile = await console.profile()
    path = f"/v1/profiles/{profile['id']}/webhooks"
    assert (await console.call("POST", path, body)).problem(422).keys() == {"url"}
    console = Console(settings=Settings(visitors_url=VISITORS, webhook_loopback=True))
    profile = await console.profile()
    path = f"/v1/profiles/{profile['id']}/webhooks"
    assert (await console.call("POST", path, body)).status == 201


async def test_webhooks_of_another_tenant_do_not_exist() -> None:
    console = Console()
    profile, webhook = await created(console)
    await happened(console, profile)
    (delivery,) = (await console.call("GET", f"/v1/webhooks/{webhook['id']}/deliveries")).json[
        "items"
    ]
    path = f"/v1/webhooks/{webhook['id']}"
    for method, target, body in (
        ("GET", path, None), ("PATCH", path, {"enabled": False}), ("DELETE", path, None),
        ("POST", f"{path}/rotate-secret", None), ("POST", f"{path}/test", None),
        ("GET", f"{path}/deliveries", None), ("GET", f"{path}/deliveries/{delivery['id']}", None),
        ("POST", f"{path}/deliveries/{delivery['id']}/replay", None),
        ("POST", f"{path}/replay", {"since": "2026-01-01T00:00:00Z"}),
        ("POST", f"{path}/replay", {"since": "2026-01-01T00:00:00Z", "dry_run": True}),
        ("GET", f"{path}/summary", None),
        ("GET", f"/v1/profiles/{profile['id']}/webhooks", None),
        ("POST", f"/v1/profiles/{profile['id']}/webhooks", HOOK),
    ):  # fmt: skip
        (await console.call(method, target, body, key="two")).problem(404)


async def test_deliveries_are_listed_newest_first_with_their_attempts() -> None:
    console = Console()
    profile, webhook = await created(console)
    await happened(console, profile, 3)
    path = f"/v1/webhooks/{webhook['id']}/deliveries"
    page = (await console.call("GET", f"{path}?limit=2")).json
    rest = (await console.call("GET", f"{path}?limit=2&cursor={page['next_cursor']}")).json
    items = page["items"] + rest["items"]
    assert [int(delivery["id"]) for delivery in items] == sorted(
        (int(delivery["id"]) for delivery in items), reverse=True
    )
    assert len(items) == 3
    delivery = items[0]
    assert (delivery["state"], delivery["type"], delivery["attempt_count"]) == (
        "failed",
        "link.milestone",
        1,
    )
    assert delivery["message_id"] == f"evt_{delivery['id']}"
    assert delivery["body"]["data"] == {"profile_id": profile["id"], "link_id": "5", "clicks": 10}
    assert delivery["attempts"] == [
        {"number": 1, "at": "2026-03-15T10:07:00Z", "duration_ms": 12, "status": 500, "error": None,
         "response": "\N{REPLACEMENT CHARACTER}no"}
    ]  # fmt: skip
    assert (await console.call("GET", f"{path}/{delivery['id']}")).json == delivery
    for query, count in (("state=failed", 3), ("state=delivered", 0), ("type=link.created", 0),
                         ("from=2026-03-15", 3), ("to=2026-03-15", 0)):  # fmt: skip
        assert len((await console.call("GET", f"{path}?{query}")).json["items"]) == count
    bad = await console.call("GET", f"{path}?state=lost&type=x&cursor=!&limit=0&more=1&from=never")
    assert bad.problem(422).keys() == {"state", "type", "cursor", "limit", "more", "from"}


async def test_replays_and_test_events() -> None:
    console = Console()
    profile, webhook = await created(console)
    await happened(console, profile, 2)
    path = f"/v1/webhooks/{webhook['id']}"
    items = (await console.call("GET", f"{path}/deliveries")).json["items"]
    again = await console.call("POST", f"{path}/deliveries/{items[0]['id']}/replay")
    assert (again.status, again.json["state"], again.json["attempt_count"]) == (202, "pending", 1)
    assert again.json["message_id"] == items[0]["message_id"]
    since = await console.call("POST", f"{path}/replay", {"since": "2026-03-15T10:00:00Z"})
    assert (since.status, since.json) == (202, {"replayed": 2, "next_since": None})
    for bad in ("2026-03-15T10:00:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"):
        refused = await console.call("POST", f"{path}/replay", {"since": bad})
        assert refused.problem(422).keys() == {"since"}
    tested = await console.call("POST", f"{path}/test")
    assert (tested.status, tested.json["type"]) == (202, "endpoint.test")
    await console.call("PATCH", path, {"enabled": False})
    (await console.call("POST", f"{path}/test")).problem(409)
    (await console.call("POST", f"{path}/deliveries/{items[0]['id']}/replay")).problem(409)
    (await console.call("POST", f"{path}/deliveries/17/replay")).problem(409)


async def test_a_dry_run_counts_also_for_a_disabled_webhook() -> None:
    console = Console()
    profile, webhook = await created(console)
    await happened(console, profile, 2)
    path = f"/v1/webhooks/{webhook['id']}"
    await console.call("PATCH", path, {"enabled": False})
    body = {"since": "2026-03-15T10:00:00Z"}
    counted = await console.call("POST", f"{path}/replay", body | {"dry_run": True})
    assert (counted.status, counted.json) == (200, {"replayed": 2, "next_since": None})
    (await console.call("POST", f"{path}/replay", body)).problem(409)
    refused = await console.call("POST", f"{path}/replay", body | {"dry_run": "yes"})
    assert refused.problem(422).keys() == {"dry_run"}


async def test_a_summary_has_its_days_and_counts() -> None:
    console = Console()
    profile, webhook = await created(console)
    await happened(console, profile, 3)
    path = f"/v1/webhooks/{webhook['id']}/summary"
    summary = (await console.call("GET", f"{path}?days=2")).json
    assert summary["days"][-1] == {"day": "2026-03-15", "delivered": 0, "failed": 3, "pending": 0}
    assert (len(summary["days"]), summary["failed"], summary["p95_ms"]) == (2, 3, 12)
    assert summary["oldest_failed_at"] == "2026-03-15T10:07:00Z"
    assert len((await console.call("GET", path)).json["days"]) == 30
    for bad in ("0", "31", "-1", "x", "1.5", ""):
        refused = await console.call("GET", f"{path}?days={bad}&more=1")
        assert refused.problem(422).keys() == {"days", "more"}


async def test_what_couriers_note_changes_the_tag_but_not_what_a_change_must_match() -> None:
    console = Console()
    profile, webhook = await created(console)
    path = f"/v1/webhooks/{webhook['id']}"
    before = await console.call("GET", path)
    assert before.json["circuit"] == {"state": "closed", "failures": 0, "until": None}
    await happened(console, profile)
    after = await console.call("GET", path, If_None_Match=before.headers["ETag"])
    assert (after.status, after.json["failing_since"]) == (200, "2026-03-15T10:07:00Z")
    assert (await console.call("GET", path, If_None_Match=after.headers["ETag"])).status == 304
    tag = after.headers["ETag"]
    assert (await console.call("PATCH", path, {"max_rate": 3}, If_Match=tag)).status == 200


async def test_a_profile_has_twenty_webhooks_at_most() -> None:
    console = Console()
    profile, _ = await created(console)
    path = f"/v1/profiles/{profile['id']}/webhooks"
    for _ in range(19):
        assert (await console.call("POST", path, HOOK)).status == 201
    (await console.call("POST", path, HOOK)).problem(409)


async def test_every_event_type_has_a_schema_and_an_example() -> None:
    response = await Console().call("GET", "/v1/event-types")
    items = response.json["items"]
    assert [event_type["name"] for event_type in items] == list(EVENT_TYPES)
    for event_type in items:
        validator = validator_for(event_type["schema"])
        validator.validate(event_type["example"])
        assert not validator.is_valid({"type": event_type["name"], "data": {}})
        assert not validator.is_valid(event_type["example"] | {"type": "other"})
    assert [event_type["name"] for event_type in items if event_type["opt_in"]] == ["link.clicked"]


def test_examples_of_the_reference_have_the_shape_of_responses() -> None:
    from api.webhooks import deliveries, summaries, webhooks

    msgspec.convert(webhooks.EXAMPLE, webhooks.WebhookResponse)
    msgspec.convert(deliveries._EXAMPLE, deliveries.DeliveryResponse)
    msgspec.convert(summaries.EXAMPLE, summaries.SummaryResponse)
