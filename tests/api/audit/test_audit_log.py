"""`/v1/…/activity`, its export, and `/v1/security-events`, on twins of the stores."""

import csv
import io
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from api.audit import audit_log
from engine.accounts.access import Caller
from engine.audit.audit_log import ActivityEntry
from engine.common.errors import UnavailableError
from tests.kit.browsers import logged_in
from tests.kit.consoles import NOW, PASSWORD, Console

LINK = {"id": "9", "slug": "s", "target": "https://example.com/"}


async def with_log(entries: int = 5) -> tuple[Console, str]:
    """Return a console, and the id of a profile with `entries` entries, one minute apart."""
    console = Console()
    profile = await console.profile()
    for n in range(entries):
        console.activity.add(1, int(profile["id"]), changed(n))
    return console, profile["id"]


def changed(n: int, **fields: Any) -> ActivityEntry:
    at = NOW + timedelta(minutes=n)
    entry = ActivityEntry(0, at, 1, "=one@example.com", None, f"r{n}", "link.created", "link", 100 + n, None,
                 LINK, b"\x0f" * 32, f"[{n + 1}]")  # fmt: skip
    return entry._replace(**fields)


async def test_entries_come_newest_first_page_by_page() -> None:
    console, profile_id = await with_log()
    path = f"/v1/profiles/{profile_id}/activity?limit=2"
    first = (await console.call("GET", path)).json
    assert first["items"][0] == {
        "id": "5", "at": "2026-03-15T10:11:00Z", "user": {"id": "1", "email": "=one@example.com"},
        "key_id": None, "request_id": "r4", "action": "link.created", "object_type": "link",
        "object_id": "104", "before": None, "after": LINK, "hash": "0f" * 32, "hashed": "[5]",
    }  # fmt: skip
    seen = [entry["id"] for entry in first["items"]]
    while first["next_cursor"]:
        first = (await console.call("GET", f"{path}&cursor={first['next_cursor']}")).json
        seen += [entry["id"] for entry in first["items"]]
    assert seen == ["5", "4", "3", "2", "1"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("object_id=102", "3"),
        ("action=link.deleted", ""),
        ("user_id=1&object_type=link&from=2026-03-15T10:09:00Z&to=2026-03-15T10:11:00Z", "43"),
        ("to=2026-03-15T10:08:00%2B00:00", "1"),
        ("from=2026-03-16", ""),
    ],
)
async def test_filters(query: str, ids: str) -> None:
    console, profile_id = await with_log()
    response = await console.call("GET", f"/v1/profiles/{profile_id}/activity?{query}")
    assert "".join(entry["id"] for entry in response.json["items"]) == ids


async def test_every_bad_parameter_is_named_at_once() -> None:
    console, profile_id = await with_log()
    query = (
        "cursor=x&limit=0&action=&object_id=-1&user_id=a&key_id=0&from=then&to=2026-13-01&more=1"
    )
    response = await console.call("GET", f"/v1/profiles/{profile_id}/activity?{query}")
    assert response.problem(422).keys() == {
        "cursor", "limit", "action", "object_id", "user_id", "key_id", "from", "to", "more",
    }  # fmt: skip
    path = f"/v1/profiles/{profile_id}/activity/export?format=xml&user_id=0"
    assert (await console.call("GET", path)).problem(422).keys() == {"format", "user_id"}
    assert (await console.call("GET", "/v1/activity?profile=x")).problem(422).keys() == {"profile"}


async def test_the_log_of_another_tenant_is_not_found() -> None:
    console, profile_id = await with_log()
    for path in (
        f"/v1/profiles/{profile_id}/activity",
        f"/v1/profiles/{profile_id}/activity/export",
        f"/v1/activity?profile={profile_id}",
        "/v1/activity?profile=999",
    ):
        (await console.call("GET", path, key="two")).problem(404)


async def test_the_tenant_reads_the_log_of_a_deleted_profile() -> None:
    console, profile_id = await with_log()
    await console.call("DELETE", f"/v1/profiles/{profile_id}")
    (await console.call("GET", f"/v1/profiles/{profile_id}/activity")).problem(404)
    response = await console.call("GET", f"/v1/activity?profile={profile_id}")
    assert len(response.json["items"]) == 5
    (await console.call("GET", f"/v1/activity?profile={profile_id}", key="two")).problem(404)


async def test_the_tenant_s_own_log_is_the_tenant_s_only() -> None:
    console, _ = await with_log()
    console.activity.add(1, 0, changed(0, action="key.created", object_type="key"))
    response = await console.call("GET", "/v1/activity")
    assert [entry["action"] for entry in response.json["items"]] == ["key.created"]
    assert (await console.call("GET", "/v1/activity", key="two")).json["items"] == []


async def test_an_export_contains_the_whole_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "EXPORT_PAGE", 2)
    console, profile_id = await with_log()
    path = f"/v1/profiles/{profile_id}/activity"
    items = (await console.call("GET", path)).json["items"]
    response = await console.call("GET", path + "/export?format=ndjson")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert [msgspec.json.decode(line) for line in response.body.splitlines()] == items
    response = await console.call("GET", path + "/export")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert f"waypost-activity-{profile_id}.csv" in response.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.body.decode(), newline="")))
    assert [row["id"] for row in rows] == ["5", "4", "3", "2", "1"]
    assert {row["user_email"] for row in rows} == {"'=one@example.com"}
    response = await console.call("GET", path + "/export?object_id=999")
    assert len(response.body.splitlines()) == 1


async def test_an_export_that_cannot_start_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    console, profile_id = await with_log()

    async def away(*_: Any) -> None:
        raise UnavailableError("Postgres does not answer")

    monkeypatch.setattr(console.activity, "of_profile", away)
    (await console.call("GET", f"/v1/profiles/{profile_id}/activity/export")).problem(503)


async def noted(console: Console) -> list[tuple[str, int, dict[str, Any]]]:
    """Return (kind, tenant id, detail) of the events since the last call, without uses of keys."""
    await console.security_log.flush()
    events = [stored.event for stored in console.security_events.stored]
    console.security_events.stored.clear()
    return [(e.kind, e.tenant_id, e.detail) for e in events if e.kind != "key.used"]


async def test_denials_and_logins_are_noted() -> None:
    console = Console()
    console.keys.add("reader", Caller(1, 1, scopes=("read",)))
    assert (await console.call("GET", "/v1/profiles")).status == 200
    assert await noted(console) == []
    await console.call("GET", "/v1/profiles", key="bad")
    await console.call("POST", "/v1/profiles", {"handle": "x"}, key="reader")
    route = {"method": "GET", "route": "/v1/profiles"}
    assert await noted(console) == [
        ("access.denied", 0, {"status": 401} | route),
        ("access.denied", 1, {"status": 403} | route | {"method": "POST"}),
    ]
    for password, kind, tenant in ((PASSWORD, "login.succeeded", 1), ("wrong", "login.failed", 0)):
        body = {"email": "one@example.com", "password": password}
        await console.call("POST", "/v1/session", body, key="")
        ((event_kind, tenant_id, detail),) = await noted(console)
        assert (event_kind, tenant_id) == (kind, tenant)
        assert "@" not in str(detail)
    for _ in range(10):
        await console.call("POST", "/v1/session", body, key="")
    assert {kind for kind, _, _ in await noted(console)} == {"login.failed", "login.throttled"}


async def test_a_changed_password_is_noted() -> None:
    console = Console()
    browser = await logged_in(console)
    await noted(console)
    body = {"current": PASSWORD, "new": "another battery"}
    assert (await browser.call("POST", "/v1/user/password", body)).status == 204
    ((kind, tenant_id, _),) = await noted(console)
    assert (kind, tenant_id) == ("password.changed", 1)


async def test_security_events_are_for_the_tenant_s_admins() -> None:
    console = Console()
    console.keys.add("reader", Caller(1, 1, scopes=("read",)))
    (await console.call("GET", "/v1/security-events", key="reader")).problem(403)
    await console.security_log.flush()
    response = await console.call("GET", "/v1/security-events?limit=1")
    (event,) = response.json["items"]
    assert event == {
        "id": "2", "at": "2026-03-15T10:07:00Z", "kind": "access.denied", "user_id": "1", "key_id": "3",
        "request_id": event["request_id"], "times": 1,
        "detail": {"status": 403, "method": "GET", "route": "/v1/security-events"},
    }  # fmt: skip
    assert len(event["request_id"]) == 16
    cursor = response.json["next_cursor"]
    rest = (await console.call("GET", f"/v1/security-events?cursor={cursor}")).json
    assert [(e["kind"], e["id"]) for e in rest["items"]] == [("key.used", "1")]
    assert (await console.call("GET", "/v1/security-events", key="two")).json["items"] == []
    of_key = (await console.call("GET", "/v1/security-events?key_id=3")).json["items"]
    assert [each["kind"] for each in of_key] == ["access.denied", "key.used"]
    assert (await console.call("GET", "/v1/security-events?key_id=9")).json["items"] == []
    (await console.call("GET", "/v1/security-events?key_id=x")).problem(422)
