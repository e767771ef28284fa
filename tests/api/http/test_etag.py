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


async def require_all_kept(console: Console, path: str, field: str, other: str, count: int) -> None:
    """Change two fields in turn, all at once: no change is refused, and none undoes one of the other field."""
    before = (await console.call("GET", path)).json
    bodies = [{field: f"t{i}"} if i % 2 else {other: i + 2} for i in range(count)]
    answers = await at_once(console, path, bodies)
    assert {answer.status for answer in answers} == {200}, [a.body for a in answers]
    versions = sorted(answer.json["version"] for answer in answers)
    assert versions == list(range(before["version"] + 1, before["version"] + count + 1))
    last = max(answers, key=lambda answer: answer.json["version"]).json
    assert last[field].startswith("t")
    assert last[other] != before[other]


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
        await require_all_kept(console, path, "title", "raw_retention_days", 64)
        link = await console.link(profile["id"])
        hook = {"url": "https://example.com/", "event_types": ["*"]}
        webhook = (await console.call("POST", f"{path}/webhooks", hook)).json
        await require_all_kept(
            console, f"/v1/webhooks/{webhook['id']}", "description", "max_rate", 16
        )
        test = {"name": "n", "kind": "destination", "link_id": link["id"], "variants": VARIANTS}
        experiment = (await console.call("POST", f"{path}/experiments", test)).json
        experiment_path = f"/v1/experiments/{experiment['id']}"
        names = [{"name": f"n{i}"} for i in range(16)]
        for objects, bodies in (
            (f"/v1/links/{link['id']}", [{"title": f"t{i}"} for i in range(16)]),
            (experiment_path, names),
            ("/v1/user", names),
        ):
            answers = await at_once(console, objects, bodies)
            assert {answer.status for answer in answers} == {200}, [a.body for a in answers]
            tag = (await console.call("GET", objects)).headers["ETag"]
            guarded = await at_once(console, objects, [*bodies[:3]], If_Match=tag)
            assert sorted(a.status for a in guarded)[-2:] == [412, 412]
