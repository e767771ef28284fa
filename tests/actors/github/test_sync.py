"""Synchronisation of links with GitHub: the state after each response, with no unnecessary request.

Each case runs against the twin and against an HTTP server on the loopback, which records its requests.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import ConflictError, ForbiddenError, NotFoundError, TooSoonError
from engine.github.conversation import MAX_BODY_BYTES, GithubResponse
from engine.github.repository import GONE_PERIOD, SYNC_PERIOD, Release
from engine.github.sync import RETRIES
from engine.links.link import LinkDraft
from storage.github.memory_api import MemoryGithubApi
from tests.kit.github_server import EndlessError, HangError, TrickleError
from tests.kit.github_world import START, TOKEN, World, world

REPO, LATEST = "/repos/trio/trio", "/repos/trio/trio/releases/latest"
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture(params=["twin", "http"])
async def here(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with world(request.param == "http") as created:
        yield created


async def test_a_repository_is_read_once_and_then_only_when_it_has_changed(
    here: World,
) -> None:
    repository = here.github.add("Trio/trio", stars=7000, release="v0.30.0")
    link = await here.link("trio/trio")
    assert (await here.state(link)).state == "queued"
    assert await here.run() == [(REPO, 200), ("/repos/Trio/trio/releases/latest", 200)]
    sync = await here.state(link)
    assert (sync.state, sync.reason, sync.synced_at) == ("synced", "", START)
    facts = sync.facts
    assert facts is not None
    assert (facts.full_name, facts.stars, facts.forks) == ("Trio/trio", 7000, 3)
    assert (facts.language, facts.description) == ("Python", "Redirects and counts")
    assert (facts.topics, facts.licence) == (("analytics", "trio"), "MIT")
    assert facts.avatar_url == "https://avatars.githubusercontent.com/u/7?v=4"
    assert (facts.archived, facts.renamed_to) == (False, None)
    published = datetime(2026, 2, 27, 19, 35, 32, tzinfo=UTC)
    assert facts.last_release == Release(tag="v0.30.0", published_at=published)

    assert await here.run(MINUTE) == []
    requests = await here.run(await here.until(link))
    assert [status for _, status in requests] == [304, 304]
    assert here.github.remaining == here.github.limit  # 304 costs nothing of the rate limit
    assert (await here.state(link)).facts == facts
    assert await here.until(link) == SYNC_PERIOD

    repository.stars += 1
    assert [status for _, status in await here.run(SYNC_PERIOD)] == [200, 304]
    changed = (await here.state(link)).facts
    assert changed is not None
    assert (changed.stars, changed.last_release) == (7001, facts.last_release)


async def test_a_repository_without_a_release_and_then_with_one(here: World) -> None:
    repository = here.github.add("trio/trio")
    link = await here.link("trio/trio")
    assert await here.run() == [(REPO, 200), (LATEST, 404)]
    facts = (await here.state(link)).facts
    assert facts is not None
    assert facts.last_release is None
    repository.release = "v1"
    assert await here.run(await here.until(link)) == [(REPO, 304), (LATEST, 200)]
    facts = (await here.state(link)).facts
    assert facts is not None
    assert facts.last_release is not None
    assert facts.last_release.tag == "v1"


async def test_a_renamed_repository_is_requested_by_its_new_name(here: World) -> None:
    repository = here.github.add("trio/trio", release="v1")
    link = await here.link("trio/trio")
    await here.run()
    here.github.rename(repository, "python/trio")
    new, latest = "/repos/python/trio", "/repos/python/trio/releases/latest"
    by_id = f"/repositories/{repository.id}"
    assert await here.run(await here.until(link)) == [(REPO, 301), (by_id, 200), (latest, 200)]
    facts = (await here.state(link)).facts
    assert facts is not None
    assert (facts.full_name, facts.renamed_to) == ("python/trio", "python/trio")
    assert await here.run(SYNC_PERIOD) == [(new, 304), (latest, 304)]

    # Another owner takes the old name: the link leads to that repository from then on.
    other = here.github.add("trio/trio", stars=1)
    del here.github.redirects["trio/trio"]
    for _ in range(26):
        await here.run(SYNC_PERIOD)
    assert await here.run(SYNC_PERIOD) == [(REPO, 200), (LATEST, 404)]
    facts = (await here.state(link)).facts
    assert facts is not None
    assert (facts.stars, facts.renamed_to, facts.last_release) == (other.stars, None, None)


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1:1/repositories/1", "//evil.example/x", "/../x", "", "http://[", "ftp://a/b"],
)
async def test_a_redirect_away_from_github_is_not_followed(here: World, location: str) -> None:
    here.github.faults.append(here.github.problem(301, more={"location": location}))
    link = await here.link("trio/trio")
    assert await here.run() == [(REPO, 301)]
    sync = await here.state(link)
    assert (sync.state, sync.reason) == ("failed", "GitHub redirects to another place")


async def test_the_number_of_redirects_is_limited(here: World) -> None:
    here.github.add("trio/trio")
    to = {"location": f"{here.github.url}/repos/trio/trio"}
    here.github.faults.extend(
        here.github.problem(status, more=to) for status in (301, 302, 307, 308)
    )
    link = await here.link("trio/trio")
    assert [status for _, status in await here.run()] == [301, 302, 307, 308]
    assert (await here.state(link)).reason == "GitHub redirects too often"


async def test_facts_of_a_private_or_deleted_repository_are_dropped(
    here: World,
) -> None:
    repository = here.github.add("trio/trio")
    link = await here.link("trio/trio")
    await here.run()
    repository.private = True
    assert await here.run(await here.until(link)) == [(REPO, 404)]
    sync = await here.state(link)
    assert (sync.state, sync.facts) == ("failed", None)
    assert sync.reason == "the repository does not exist, or is private"
    assert sync.synced_at is not None
    assert GONE_PERIOD / 2 <= await here.until(link) <= GONE_PERIOD * 3 / 2
    repository.private = False
    assert await here.run(await here.until(link)) == [(REPO, 200), (LATEST, 404)]
    assert (await here.state(link)).state == "synced"


async def test_a_blocked_repository_has_its_reason(here: World) -> None:
    here.github.add("trio/trio", blocked=True)
    link = await here.link("trio/trio")
    assert await here.run() == [(REPO, 451)]
    sync = await here.state(link)
    assert (sync.state, sync.reason) == ("failed", "the repository is blocked for legal reasons")


async def test_a_refused_repository_has_its_reason_and_causes_no_pause(here: World) -> None:
    here.github.faults.append(
        here.github.problem(403, "Resource protected by organization SAML enforcement.")
    )
    here.github.add("trio/two")
    link, other_link = await here.link("trio/trio"), await here.link("trio/two")
    assert [status for _, status in await here.run()] == [403, 200, 404]
    assert (await here.state(link)).reason == "GitHub refuses access to the repository"
    assert (await here.state(other_link)).state == "synced"


async def test_an_archived_repository_needs_one_request(here: World) -> None:
    here.github.add("trio/trio", archived=True, release="v1")
    link = await here.link("trio/trio")
    assert await here.run() == [(REPO, 200), (LATEST, 200)]
    assert await here.run(await here.until(link)) == [(REPO, 304)]
    facts = (await here.state(link)).facts
    assert facts is not None
    assert facts.archived
    assert facts.last_release is not None


async def test_no_request_is_sent_before_the_primary_limit_resets(here: World) -> None:
    here.github.add("trio/trio")
    here.github.add("trio/two")
    here.github.remaining = 0
    here.github.reset_at = START.timestamp() + 1800
    link, other_link = await here.link("trio/trio"), await here.link("trio/two")
    assert await here.run() == [(REPO, 403)]
    for synced_link in (link, other_link):
        sync = await here.state(synced_link)
        assert (sync.state, sync.reason) == ("queued", "GitHub's rate limit")
        assert await here.until(synced_link) == timedelta(seconds=1801)
    for _ in range(30):
        assert await here.run(MINUTE) == []
    assert len(await here.run(MINUTE)) == 4
    assert (await here.state(other_link)).state == "synced"


async def test_no_request_is_sent_after_the_last_of_the_limit(here: World) -> None:
    """The response that says that no request is left is read, and no refused request is needed to see it."""
    here.github.add("trio/trio", release="v1")
    here.github.remaining = 1
    link, other_link = await here.link("trio/trio"), await here.link("trio/two")
    assert await here.run() == [(REPO, 200)]
    sync = await here.state(link)
    assert (sync.state, sync.reason) == ("queued", "GitHub's rate limit")
    assert sync.facts is not None  # they are kept, and not requested again
    requests = await here.run(await here.until(link))
    assert requests == [(LATEST, 200), ("/repos/trio/two", 404)]
    assert (await here.state(link)).state == "synced"
    assert (await here.state(other_link)).state == "failed"


async def test_a_reset_is_read_by_githubs_clock(here: World) -> None:
    ahead = START + timedelta(hours=5)
    limited = here.github.problem(429, "API rate limit exceeded")
    headers = dict(limited.headers) | {
        "date": ahead.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int(ahead.timestamp()) + 600),
    }
    here.github.faults.append(limited._replace(headers=headers))
    link = await here.link("trio/trio")
    await here.run()
    assert await here.until(link) == timedelta(seconds=601)


async def test_pauses_of_the_secondary_limit_grow(here: World) -> None:
    here.github.add("trio/trio")
    link = await here.link("trio/trio")
    waits = [(403, 45, 46), (429, None, 120), (403, None, 240), (429, 30, 31)]
    for status, retry_after_s, wait_s in waits:
        here.github.faults.append(here.github.secondary_limit(status, retry_after_s))
        assert await here.run(await here.until(link)) == [(REPO, status)]
        assert (await here.state(link)).reason == "GitHub's secondary rate limit"
        assert await here.until(link) == timedelta(seconds=wait_s)
        assert await here.run(await here.until(link) - timedelta(seconds=1)) == []
    assert len(await here.run(timedelta(seconds=1))) == 2
    here.github.faults.append(here.github.secondary_limit(403, None))
    await here.run(await here.until(link))
    assert await here.until(link) == MINUTE  # a success reset the count of pauses


async def test_a_refused_token_pauses_all_links(here: World) -> None:
    here.github.tokens = {"another"}
    link, other_link = await here.link("trio/trio"), await here.link("trio/two")
    assert await here.run() == [(REPO, 401)]
    for synced_link in (link, other_link):
        assert (await here.state(synced_link)).reason == "GitHub refuses the token"
        assert await here.until(synced_link) == MINUTE


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_errors_of_github_are_retried_with_growing_delays(here: World, status: int) -> None:
    here.github.add("trio/trio")
    link = await here.link("trio/trio")
    for wait in RETRIES:
        here.github.faults.append(
            GithubResponse(status, {"content-type": "text/html"}, b"<h1>Unicorn!")
        )
        assert await here.run(await here.until(link)) == [(REPO, status)]
        sync = await here.state(link)
        assert (sync.state, sync.reason) == ("failed", f"GitHub answers {status}")
        assert await here.until(link) == wait
    here.github.faults.append(GithubResponse(status, {}, b""))
    await here.run(await here.until(link))
    assert await here.until(link) >= SYNC_PERIOD / 2
    assert len(await here.run(await here.until(link))) == 2
    assert (await here.state(link)).state == "synced"


async def test_an_error_of_the_second_request_keeps_the_result_of_the_first(here: World) -> None:
    here.github.add("trio/trio", release="v1")
    link = await here.link("trio/trio")
    await here.run()
    here.github.faults.extend([_ok(here, "trio/trio", stars=9), here.github.problem(500)])
    await here.run(await here.until(link))
    sync = await here.state(link)
    assert sync.state == "failed"
    assert sync.facts is not None
    assert sync.facts.stars == 9
    assert sync.facts.last_release is not None
    assert await here.run(RETRIES[0]) == [(LATEST, 304)]


BAD: list[bytes] = [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"full_name": 1}', b'{"full_name": "a/b"}',
    b'{"full_name": "a", "stargazers_count": 1, "forks_count": 1}',
    b'{"full_name": "a/../b", "stargazers_count": 1, "forks_count": 1}',
    b'{"full_name": "a/b?x", "stargazers_count": 1, "forks_count": 1}',
    b'{"full_name": "a/b", "stargazers_count": "1", "forks_count": 1}',
    b"[" * 100_000, b"<html>" + b" " * 1000, b" " * (MAX_BODY_BYTES + 1),
]  # fmt: skip


async def test_a_malformed_response_is_a_failure_that_is_retried(here: World) -> None:
    link = await here.link("trio/trio")
    here.github.add("trio/trio")
    for body in BAD:
        here.github.faults.append(GithubResponse(200, here.github.headers(), body))
        await here.run(await here.until(link))
        sync = await here.state(link)
        assert sync.state == "failed", body[:100]
        assert sync.reason in (
            "GitHub's response cannot be parsed",
            "GitHub's response is too large",
        )
        assert sync.facts is None
    assert len(await here.run(await here.until(link))) == 2
    assert (await here.state(link)).state == "synced"


def _ok(here: World, full_name: str, **more: Any) -> GithubResponse:
    body = here.github.add("x/y").body(here.github.url) | {"full_name": full_name}
    body |= {"stargazers_count": more.pop("stars", 0)} | more
    return GithubResponse(200, here.github.headers({"etag": 'W/"1"'}), json.dumps(body).encode())


async def test_texts_are_bounded_and_printable(here: World) -> None:
    here.github.faults.append(
        _ok(
            here, "trio/trio", stars=10**30, language="C\0\x1b[31m++", description=" a\n\u202eb " * 999,
            topics=["t" * 999] * 99, license={"spdx_id": "NOASSERTION"}, forks_count=-1,
            owner={"avatar_url": "javascript:alert(1)"},
        )
    )  # fmt: skip
    here.github.faults.append(
        GithubResponse(
            200, {"etag": "e" * 999}, b'{"tag_name": "\\u0000v1\\u2028", "published_at": null}'
        )
    )
    link = await here.link("trio/trio")
    await here.run()
    facts = (await here.state(link)).facts
    assert facts is not None, await here.state(link)
    assert (facts.stars, facts.forks, facts.language) == (2**53 - 1, 0, "C [31m++")
    assert facts.description is not None
    assert len(facts.description) <= 500
    assert facts.description.startswith("a b a b")
    assert len(facts.topics) == 20
    assert {len(topic) for topic in facts.topics} == {100}
    assert (facts.licence, facts.avatar_url) == (None, None)
    assert facts.last_release == Release(tag="v1", published_at=None)


async def test_a_malformed_release_leaves_the_earlier_one(here: World) -> None:
    here.github.add("trio/trio", release="v1")
    link = await here.link("trio/trio")
    await here.run()
    before = (await here.state(link)).facts
    for body in (b"{}", b" " * (MAX_BODY_BYTES + 1)):
        here.github.faults.extend(
            [
                GithubResponse(304, here.github.headers()),
                GithubResponse(200, here.github.headers(), body),
            ]
        )
        assert len(await here.run(await here.until(link))) == 2
        sync = await here.state(link)
        assert (sync.state, sync.facts) == ("synced", before)


async def test_links_of_one_tenant_to_one_repository_need_one_conversation(here: World) -> None:
    here.github.add("trio/trio")
    first = await here.link("trio/trio")
    second = await here.link("Trio/TRIO/issues", slug="two")
    stranger = Caller(2, 2)
    foreign = await here.link("trio/trio", caller=stranger)
    assert [status for _, status in await here.run()] == [200, 404, 200, 404]
    assert (await here.state(first)).facts == (await here.state(second)).facts
    assert (await here.state(foreign, stranger)).state == "synced"
    assert here.worker.shared == 1
    # They share each later conversation too.
    assert await here.until(first) == await here.until(second)
    requests = await here.run(await here.until(first))
    assert [status for _, status in requests] == [304, 404]
    assert here.worker.shared == 2


async def test_a_changed_or_deleted_link_is_not_synchronised_for_its_old_target(
    here: World,
) -> None:
    here.github.add("trio/trio")
    here.github.add("trio/two", stars=2)
    link = await here.link("trio/trio")
    await here.run()
    draft = LinkDraft(slug=link.slug, target="https://github.com/trio/two", kind="github")
    changed, _ = await here.profiles.update_link(here.caller, link.id, draft)
    assert (await here.state(link)).facts is None
    assert len(await here.run()) == 2
    facts = (await here.state(link)).facts
    assert facts is not None
    assert facts.stars == 2
    draft = LinkDraft(slug=link.slug, target="https://example.com/")
    await here.profiles.update_link(here.caller, changed.id, draft)
    assert (await here.profiles.link(here.caller, link.id)).github is None
    assert await here.run(DAY) == []
    other = await here.link("trio/trio", slug="other")
    await here.profiles.delete_link(here.caller, other.id)
    assert await here.run(DAY) == []


async def test_a_requested_synchronisation_runs_alone_and_once_a_minute(here: World) -> None:
    here.github.add("trio/trio")
    link = await here.link("trio/trio", kind="url")
    assert await here.syncs.github_sync(here.caller, link.id) is None
    assert await here.run(DAY) == []
    sync, job = await here.syncs.request_github_sync(here.caller, link.id)
    assert sync.state == "queued"
    assert (job.kind, job.state) == ("github.sync", "queued")
    with pytest.raises(ConflictError):
        await here.syncs.request_github_sync(here.caller, link.id)
    assert len(await here.run()) == 2
    with pytest.raises(TooSoonError) as caught:
        await here.syncs.request_github_sync(here.caller, link.id)
    assert caught.value.retry_after_s == 60
    done = await here.syncs.github_sync(here.caller, link.id)
    assert done is not None
    assert (done.state, done.next_at) == (
        "synced",
        None,
    )  # no link of kind `url` is synchronised periodically
    here.time += MINUTE
    await here.syncs.request_github_sync(here.caller, link.id)
    with pytest.raises(NotFoundError):
        await here.syncs.request_github_sync(Caller(2, 2), link.id)
    with pytest.raises(ForbiddenError):
        await here.syncs.request_github_sync(here.caller._replace(scopes=("read",)), link.id)


async def test_one_worker_at_a_time_sends_and_none_in_a_pause(autojump_clock: Any) -> None:
    created = World()
    for n in range(6):
        created.github.add(f"trio/r{n}")
        await created.link(f"trio/r{n}")
    sending = 0

    class Slow(MemoryGithubApi):
        async def send(self, request: Any) -> GithubResponse:
            nonlocal sending
            sending += 1
            assert sending == 1
            await trio.sleep(2)
            sending -= 1
            return await super().send(request)

    await created.syncs.enqueue_due(100)
    workers = [created.new_worker(name, Slow(created.github)) for name in ("one", "two", "three")]
    created.github.remaining = 5
    async with trio.open_nursery() as nursery:
        for number, context in enumerate(await created.claim_jobs()):
            nursery.start_soon(workers[number % 3].sync, context)
    assert len(created.github.requests) == 5


@pytest.mark.parametrize("fault", [HangError, TrickleError, OSError])
async def test_a_server_that_does_not_respond_in_time_is_retried(fault: type[OSError]) -> None:
    async with world(True, total_s=0.15) as here:
        here.github.add("trio/trio")
        here.github.faults.append(fault("x"))
        link = await here.link("trio/trio")
        assert len(await here.run()) == 1
        sync = await here.state(link)
        assert sync.state == "failed"
        assert sync.reason.startswith("GitHub does not answer")
        assert await here.until(link) == RETRIES[0]
        assert len(await here.run(RETRIES[0])) == 2
        assert (await here.state(link)).state == "synced"


async def test_an_endless_body_is_read_up_to_its_bound() -> None:
    async with world(True) as here:
        here.github.faults.append(EndlessError())
        link = await here.link("trio/trio")
        with trio.fail_after(5):
            await here.run()
        assert (await here.state(link)).reason == "GitHub's response is too large"


async def test_a_compressed_body_is_not_unpacked() -> None:
    async with world(True) as here:
        headers = here.github.headers({"content-encoding": "gzip"})
        here.github.faults.append(GithubResponse(200, headers, b"\x1f\x8b"))
        link = await here.link("trio/trio")
        await here.run()
        assert (await here.state(link)).reason == "GitHub's response is too large"


async def test_the_token_is_in_no_log_and_no_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with world(True) as here:
        here.github.tokens = {"another"}
        link = await here.link("trio/trio")
        await here.run()
        assert TOKEN not in str(await here.state(link))
    assert TOKEN not in caplog.text
