"""Changes of one object at once, on real Postgres with fewer connections than requests: each is kept."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio

from storage.accounts.accounts import PostgresAccountStore
from storage.accounts.keys import ensure_owner
from storage.accounts.passwords import PasswordHasher
from storage.experiments.experiments import PostgresExperimentStore
from storage.links.profiles import PostgresProfileStore
from storage.webhooks.webhooks import PostgresWebhookStore
from tests.kit.consoles import Answered, Console
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, opened

pytestmark = [pytest.mark.slow, pytest.mark.trio(run=hosted_run)]

TARGET = "https://example.com/"
VARIANTS = [{"name": n, "weight": 1, "target": f"https://{n}.example/"} for n in "ab"]


async def at_once(
    console: Console, path: str, bodies: Sequence[Any], **headers: str
) -> list[Answered]:
    answers: list[Answered] = []

    async def patch(body: Any) -> None:
        answers.append(await console.call("PATCH", path, body, **headers))

    async with trio.open_nursery() as nursery:
        for body in bodies:
            nursery.start_soon(patch, body)
    return answers


async def require_all_kept(
    console: Console, path: str, field: str, other: str, values: Sequence[Any]
) -> None:
    """Change two fields in turn, all at once: no change is refused, and none undoes one of the other field."""
    before = (await console.call("GET", path)).json
    bodies = [body for i, value in enumerate(values) for body in ({field: f"t{i}"}, {other: value})]
    answers = await at_once(console, path, bodies)
    assert {answer.status for answer in answers} == {200}, [a.body for a in answers]
    versions = sorted(answer.json["version"] for answer in answers)
    assert versions == list(range(before["version"] + 1, before["version"] + len(bodies) + 1))
    last = max(answers, key=lambda answer: answer.json["version"]).json
    assert last[field].startswith("t")
    assert last[other] in values


async def test_changes_of_one_object_at_once_are_all_kept(database_url: str) -> None:
    async with opened(database_url) as open_database:
        database = await open_database("waypost_app")
        owner = await ensure_owner(database, "owner@example.com", FAST)
        assert owner is not None
        console = Console(profiles=PostgresProfileStore(database))
        console.webhooks = PostgresWebhookStore(database)  # type: ignore[assignment]
        console.experiments = PostgresExperimentStore(database)  # type: ignore[assignment]
        console.accounts = PostgresAccountStore(  # type: ignore[assignment]
            database, PasswordHasher(FAST), 3600
        )
        console.app = console.create_app()
        console.keys.add("one", owner.caller)
        profile = await console.profile()
        path = f"/v1/profiles/{profile['id']}"
        await require_all_kept(console, path, "title", "raw_retention_days", range(2, 34))
        link = await console.link(profile["id"])
        link_path = f"/v1/links/{link['id']}"
        targets = [f"{TARGET}{i}" for i in range(8)]
        await require_all_kept(console, link_path, "title", "target", targets)
        hook = {"url": TARGET, "event_types": ["*"]}
        webhook = (await console.call("POST", f"{path}/webhooks", hook)).json
        webhook_path = f"/v1/webhooks/{webhook['id']}"
        await require_all_kept(console, webhook_path, "description", "max_rate", range(2, 10))
        test = {"name": "n", "kind": "destination", "link_id": link["id"], "variants": VARIANTS}
        experiment = (await console.call("POST", f"{path}/experiments", test)).json
        experiment_path = f"/v1/experiments/{experiment['id']}"
        shares = [i / 10 for i in range(1, 9)]
        await require_all_kept(console, experiment_path, "name", "coverage", shares)
        answers = await at_once(console, "/v1/user", [{"name": f"n{i}"} for i in range(16)])
        assert {answer.status for answer in answers} == {200}
        tag = (await console.call("GET", link_path)).headers["ETag"]
        titles = [{"title": f"guarded {i}"} for i in range(4)]
        guarded = await at_once(console, link_path, titles, If_Match=tag)
        assert sorted(answer.status for answer in guarded) == [200, 412, 412, 412]


async def test_a_list_is_not_sent_again_while_it_is_the_same() -> None:
    console = Console()
    await console.profile("anna")
    first = await console.call("GET", "/v1/profiles")
    assert first.headers["ETag"].startswith('W/"')
    again = await console.call("GET", "/v1/profiles", If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["X-Request-Id"]
    assert again.headers["RateLimit"]
    await console.profile("bert")
    changed = await console.call("GET", "/v1/profiles", If_None_Match=first.headers["ETag"])
    assert changed.status == 200
    assert len(changed.json["items"]) == 2


async def test_another_caller_s_list_has_another_tag() -> None:
    console = Console()
    await console.profile("anna")
    mine = await console.call("GET", "/v1/profiles")
    theirs = await console.call(
        "GET", "/v1/profiles", key="two", If_None_Match=mine.headers["ETag"]
    )
    assert theirs.status == 200
    assert theirs.json["items"] == []


async def test_a_refusal_has_no_tag() -> None:
    console = Console()
    assert "ETag" not in (await console.call("GET", "/v1/profiles", key="")).headers
    assert "ETag" not in (await console.call("GET", "/v1/profiles?x=1")).headers
