"""`/v1/links/{id}/github-sync`, and GitHub's facts in links."""

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.github.repository import Release, RememberedRepository, RepositoryFacts
from engine.github.sync import SYNC_KIND, SYNC_QUEUE, SyncOutcome
from engine.operations.settings import Settings
from tests.kit.consoles import NOW, VISITORS, Console

REPO = "https://github.com/Trio/trio"
FACTS = RepositoryFacts(
    full_name="python/trio", stars=7, forks=1, language="Python", description=None, topics=("a",),
    licence=None, avatar_url=None, archived=True, renamed_to="python/trio",
    last_release=Release(tag="v1", published_at=datetime(2026, 1, 2, tzinfo=UTC)),
)  # fmt: skip


async def github_link(console: Console, **more: Any) -> str:
    profile = await console.profile()
    link = await console.link(profile["id"], **{"target": REPO, "kind": "github"} | more)
    return f"/v1/links/{link['id']}"


async def sync(console: Console, path: str) -> None:
    """Run the job of a link's synchronisation as a worker does."""
    (job,) = await console.jobs.claim("w", {SYNC_QUEUE: 9}, [SYNC_KIND], 60)
    work = await console.github.begin(1, int(path.split("/")[3]))
    assert work is not None
    outcome = SyncOutcome("synced", "", RememberedRepository(facts=FACTS), 0, NOW)
    await console.jobs.finish_with(
        job.lease, console.github.outcome_writer(work, "trio/trio", outcome)
    )


async def test_a_request_returns_the_job_and_the_link_shows_the_facts_after_it() -> None:
    console = Console()
    path = await github_link(console)
    before = await console.call("GET", path)
    assert before.json["kind"] == "github"
    assert before.json["github"]["state"] == "queued"
    assert before.json["github"]["stars"] is None

    requested = await console.call("POST", f"{path}/github-sync")
    assert requested.status == 202, requested.body
    job = await console.call("GET", requested.headers["Location"])
    assert (job.json["kind"], job.json["state"]) == ("github.sync", "queued")
    assert requested.json == job.json | {"github": requested.json["github"]}
    assert requested.json["github"]["state"] == "queued"
    (await console.call("POST", f"{path}/github-sync")).problem(409)
    await sync(console, path)

    after = await console.call("GET", path, If_None_Match=before.headers["ETag"])
    assert after.status == 200
    assert after.json["github"] == {
        "state": "synced", "reason": "", "synced_at": "2026-03-15T10:07:00Z",
        "next_at": "2026-03-15T10:07:00Z", "stars": 7, "forks": 1, "language": "Python",
        "description": None, "topics": ["a"], "licence": None, "avatar_url": None, "archived": True,
        "renamed_to": "python/trio", "last_release": {"tag": "v1", "published_at": "2026-01-02T00:00:00Z"},
    }  # fmt: skip
    assert (await console.call("GET", f"{path}/github-sync")).json == after.json["github"]
    assert (await console.call("GET", path, If_None_Match=after.headers["ETag"])).status == 304
    listed = await console.call("GET", f"/v1/profiles/{after.json['profile_id']}/links")
    assert listed.json["items"] == [after.json]

    refused = await console.call("POST", f"{path}/github-sync")
    refused.problem(429)
    assert refused.headers["Retry-After"] == "60"

    # New facts do not change the link's version: a caller that read it before may write.
    tag = before.headers["ETag"]
    assert (await console.call("PATCH", path, {"title": "x"}, If_Match=tag)).status == 200
    (await console.call("PATCH", path, {"title": "y"}, If_Match=after.headers["ETag"])).problem(412)


async def test_a_target_that_is_no_repository_cannot_be_synchronised() -> None:
    console = Console()
    path = await github_link(console, target="https://example.com/a/b", kind="url")
    assert (await console.call("POST", f"{path}/github-sync")).problem(422).keys() == {"target"}
    (await console.call("GET", f"{path}/github-sync")).problem(404)
    assert "github" not in (await console.call("GET", path)).json
    for body in ({"kind": "github"}, {"kind": "github", "target": "https://github.com/trio"}):
        assert (await console.call("PATCH", path, body)).problem(422).keys() == {"target"}
    (await console.call("POST", "/v1/links/1/github-sync")).problem(404)
    (await console.call("POST", f"{path}/github-sync?x=1")).problem(422)


async def test_a_plain_link_to_a_repository_can_be_synchronised() -> None:
    console = Console()
    path = await github_link(console, kind="url")
    assert (await console.call("POST", f"{path}/github-sync")).status == 202
    assert (await console.call("GET", path)).json["github"]["state"] == "queued"


@pytest.mark.parametrize("kind", ["github", "url"])
async def test_links_of_other_tenants_do_not_exist(kind: str) -> None:
    console = Console()
    path = await github_link(console, kind=kind)
    for method in ("GET", "POST"):
        (await console.call(method, f"{path}/github-sync", key="two")).problem(404)


async def test_an_enterprise_server_has_its_own_host() -> None:
    settings = Settings(visitors_url=VISITORS, github_url="https://git.example/api/v3")
    console = Console(settings=settings)
    path = await github_link(console, target="https://git.example/a/b")
    assert (await console.call("POST", f"{path}/github-sync")).status == 202
    assert (await console.call("PATCH", path, {"target": REPO})).problem(422).keys() == {"target"}
