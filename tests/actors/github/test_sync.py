"""Links in step with GitHub: the state that each answer leads to, and not one request more than needed.

Each case runs against the twin and against an HTTP server on the loopback, which keeps a ledger.
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
    async with world(request.param == "http") as made:
        yield made


async def test_the_first_time_it_is_read_and_then_it_is_asked_whether_it_has_changed(
    here: World,
) -> None:
    repository = here.github.add("Trio/trio", stars=7000, release="v0.30.0")
    link = await here.link("trio/trio")
    assert (await here.state(link)).state == "queued"
    assert await here.run() == [(REPO, 200), ("/repos/Trio/trio/releases/latest", 200)]
    found = await here.state(link)
    assert (found.state, found.reason, found.synced_at) == ("synced", "", START)
    facts = found.facts
    assert facts is not None
    assert (facts.full_name, facts.stars, facts.forks) == ("Trio/trio", 7000, 3)
    assert (facts.language, facts.description) == ("Python", "Redirects and counts")
    assert (facts.topics, facts.licence) == (("analytics", "trio"), "MIT")
    assert facts.avatar_url == "https://avatars.githubusercontent.com/u/7?v=4"
    assert (facts.archived, facts.renamed_to) == (False, None)
    published = datetime(2026, 2, 27, 19, 35, 32, tzinfo=UTC)
    assert facts.last_release == Release(tag="v0.30.0", published_at=published)

    assert await here.run(MINUTE) == []
    asked = await here.run(await here.until(link))
    assert [status for _, status in asked] == [304, 304]
    assert here.github.remaining == here.github.limit  # what has not changed is free
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


async def test_a_renamed_repository_is_followed_once_and_asked_by_its_new_name(here: World) -> None:
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

    # Somebody else takes the old name: from then on that is where the link leads.
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
async def test_a_redirect_to_another_place_is_not_followed(here: World, location: str) -> None:
    here.github.faults.append(here.github.problem(301, more={"location": location}))
    link = await here.link("trio/trio")
    assert await here.run() == [(REPO, 301)]
    found = await here.state(link)
    assert (found.state, found.reason) == ("failed", "GitHub redirects to another place")


async def test_redirects_have_an_end(here: World) -> None:
    here.github.add("trio/trio")
    to = {"location": f"{here.github.url}/repos/trio/trio"}
    here.github.faults.extend(
        here.github.problem(status, more=to) for status in (301, 302, 307, 308)
    )
    link = await here.link("trio/trio")
    assert [status for _, status in await here.run()] == [301, 302, 307, 308]
    assert (await here.state(link)).reason == "GitHub redirects too often"


async def test_what_is_private_or_deleted_is_forgotten_and_asked_for_once_a_day(
    here: World,
) -> None:
    repository = here.github.add("trio/trio")
    link = await here.link("trio/trio")
    await here.run()
    repository.private = True
    assert await here.run(await here.until(link)) == [(REPO, 404)]
    found = await here.state(link)
    assert (found.state, found.facts) == ("failed", None)
    assert found.reason == "the repository does not exist, or is private"
    assert found.synced_at is not None
    assert GONE_PERIOD / 2 <= await here.until(link) <= GONE_PERIOD * 3 / 2
    repository.private = False
    assert await here.run(await here.until(link)) == [(REPO, 200), (LATEST, 404)]
    assert (await here.state(link)).state == "synced"


async def test_a_blocked_one_says_so(here: World) -> None:
    here.github.add("trio/trio", blocked=True)
    link = await here.link("trio/trio")
    assert await here.run() == [(REPO, 451)]
    found = await here.state(link)
    assert (found.state, found.reason) == ("failed", "the repository is blocked for legal reasons")


async def test_a_refused_one_says_so_and_stops_nobody(here: World) -> None:
    here.github.faults.append(
        here.github.problem(403, "Resource protected by organization SAML enforcement.")
    )
    here.github.add("trio/two")
    link, two = await here.link("trio/trio"), await here.link("trio/two")
    assert [status for _, status in await here.run()] == [403, 200, 404]
    assert (await here.state(link)).reason == "GitHub refuses access to the repository"
    assert (await here.state(two)).state == "synced"


async def test_an_archived_one_is_asked_once_a_time(here: World) -> None:
    here.github.add("trio/trio", archived=True, release="v1")
    link = await here.link("trio/trio")
    assert await here.run() == [(REPO, 200), (LATEST, 200)]
    assert await here.run(await here.until(link)) == [(REPO, 304)]
    facts = (await here.state(link)).facts
    assert facts is not None
    assert facts.archived
    assert facts.last_release is not None


async def test_nothing_is_asked_before_the_primary_limits_reset(here: World) -> None:
    here.github.add("trio/trio")
    here.github.add("trio/two")
    here.github.remaining = 0
    here.github.reset_at = START.timestamp() + 1800
    link, two = await here.link("trio/trio"), await here.link("trio/two")
    assert await here.run() == [(REPO, 403)]
    for one in (link, two):
        found = await here.state(one)
        assert (found.state, found.reason) == ("queued", "GitHub's rate limit")
        assert await here.until(one) == timedelta(seconds=1801)
    for _ in range(30):
        assert await here.run(MINUTE) == []
    assert len(await here.run(MINUTE)) == 4
    assert (await here.state(two)).state == "synced"


async def test_the_limits_last_request_is_the_last_one_sent(here: World) -> None:
    """What answers with none left is still read, and nobody has to be refused to see it."""
    here.github.add("trio/trio", release="v1")
    here.github.remaining = 1
    link, two = await here.link("trio/trio"), await here.link("trio/two")
    assert await here.run() == [(REPO, 200)]
    found = await here.state(link)
    assert (found.state, found.reason) == ("queued", "GitHub's rate limit")
    assert found.facts is not None  # it is kept, and not asked for again
    asked = await here.run(await here.until(link))
    assert asked == [(LATEST, 200), ("/repos/trio/two", 404)]
    assert (await here.state(link)).state == "synced"
    assert (await here.state(two)).state == "failed"


async def test_githubs_clock_is_what_its_reset_is_read_by(here: World) -> None:
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


async def test_the_secondary_limit_is_obeyed_and_waits_grow(here: World) -> None:
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
    assert await here.until(link) == MINUTE  # a good answer made it a first one again


async def test_a_token_that_is_refused_stops_everybody(here: World) -> None:
    here.github.tokens = {"another"}
    link, two = await here.link("trio/trio"), await here.link("trio/two")
    assert await here.run() == [(REPO, 401)]
    for one in (link, two):
        assert (await here.state(one)).reason == "GitHub refuses the token"
        assert await here.until(one) == MINUTE


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_its_errors_are_tried_again_later_and_later(here: World, status: int) -> None:
    here.github.add("trio/trio")
    link = await here.link("trio/trio")
    for wait in RETRIES:
        here.github.faults.append(
            GithubResponse(status, {"content-type": "text/html"}, b"<h1>Unicorn!")
        )
        assert await here.run(await here.until(link)) == [(REPO, status)]
        found = await here.state(link)
        assert (found.state, found.reason) == ("failed", f"GitHub answers {status}")
        assert await here.until(link) == wait
    here.github.faults.append(GithubResponse(status, {}, b""))
    await here.run(await here.until(link))
    assert await here.until(link) >= SYNC_PERIOD / 2
    assert len(await here.run(await here.until(link))) == 2
    assert (await here.state(link)).state == "synced"


async def test_an_error_between_the_two_requests_costs_the_second_only(here: World) -> None:
    here.github.add("trio/trio", release="v1")
    link = await here.link("trio/trio")
    await here.run()
    here.github.faults.extend([_ok(here, "trio/trio", stars=9), here.github.problem(500)])
    await here.run(await here.until(link))
    found = await here.state(link)
    assert found.state == "failed"
    assert found.facts is not None
    assert found.facts.stars == 9
    assert found.facts.last_release is not None
    assert await here.run(RETRIES[0]) == [(LATEST, 304)]


BAD: list[bytes] = [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"full_name": 1}', b'{"full_name": "a/b"}',
    b'{"full_name": "a", "stargazers_count": 1, "forks_count": 1}',
    b'{"full_name": "a/../b", "stargazers_count": 1, "forks_count": 1}',
    b'{"full_name": "a/b?x", "stargazers_count": 1, "forks_count": 1}',
    b'{"full_name": "a/b", "stargazers_count": "1", "forks_count": 1}',
    b"[" * 100_000, b"<html>" + b" " * 1000, b" " * (MAX_BODY_BYTES + 1),
]  # fmt: skip


async def test_what_makes_no_sense_is_a_failure_that_is_tried_again(here: World) -> None:
    link = await here.link("trio/trio")
    here.github.add("trio/trio")
    for body in BAD:
        here.github.faults.append(GithubResponse(200, here.github.headers(), body))
        await here.run(await here.until(link))
        found = await here.state(link)
        assert found.state == "failed", body[:100]
        assert found.reason in (
            "GitHub's response cannot be parsed",
            "GitHub's response is too large",
        )
        assert found.facts is None
    assert len(await here.run(await here.until(link))) == 2
    assert (await here.state(link)).state == "synced"


def _ok(here: World, full_name: str, **more: Any) -> GithubResponse:
    body = here.github.add("x/y").body(here.github.url) | {"full_name": full_name}
    body |= {"stargazers_count": more.pop("stars", 0)} | more
    return GithubResponse(200, here.github.headers({"etag": 'W/"1"'}), json.dumps(body).encode())


async def test_texts_are_bounded_and_fit_to_be_shown(here: World) -> None:
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


async def test_a_release_that_makes_no_sense_leaves_the_one_known_before(here: World) -> None:
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
        found = await here.state(link)
        assert (found.state, found.facts) == ("synced", before)


async def test_links_of_one_tenant_to_one_repository_need_one_conversation(here: World) -> None:
    here.github.add("trio/trio")
    one = await here.link("trio/trio")
    two = await here.link("Trio/TRIO/issues", slug="two")
    stranger = Caller(2, 2)
    other = await here.link("trio/trio", caller=stranger)
    assert [status for _, status in await here.run()] == [200, 404, 200, 404]
    assert (await here.state(one)).facts == (await here.state(two)).facts
    assert (await here.state(other, stranger)).state == "synced"
    assert here.worker.shared == 1
    # They stay together, each time.
    assert await here.until(one) == await here.until(two)
    asked = await here.run(await here.until(one))
    assert [status for _, status in asked] == [304, 404]
    assert here.worker.shared == 2


async def test_a_link_that_changes_or_goes_is_no_longer_what_it_was(here: World) -> None:
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


async def test_asking_runs_once_at_a_time_and_once_a_minute(here: World) -> None:
    here.github.add("trio/trio")
    link = await here.link("trio/trio", kind="url")
    assert await here.syncs.github_sync(here.caller, link.id) is None
    assert await here.run(DAY) == []
    found, job = await here.syncs.request_github_sync(here.caller, link.id)
    assert found.state == "queued"
    assert (job.kind, job.state) == ("github.sync", "queued")
    with pytest.raises(ConflictError):
        await here.syncs.request_github_sync(here.caller, link.id)
    assert len(await here.run()) == 2
    with pytest.raises(TooSoonError) as caught:
        await here.syncs.request_github_sync(here.caller, link.id)
    assert caught.value.retry_after_s == 60
    done = await here.syncs.github_sync(here.caller, link.id)
    assert done is not None
    assert (done.state, done.next_at) == ("synced", None)  # nobody wants it kept in step
    here.time += MINUTE
    await here.syncs.request_github_sync(here.caller, link.id)
    with pytest.raises(NotFoundError):
        await here.syncs.request_github_sync(Caller(2, 2), link.id)
    with pytest.raises(ForbiddenError):
        await here.syncs.request_github_sync(here.caller._replace(scopes=("read",)), link.id)


async def test_only_one_sends_at_a_time_and_none_in_a_pause(autojump_clock: Any) -> None:
    made = World()
    for n in range(6):
        made.github.add(f"trio/r{n}")
        await made.link(f"trio/r{n}")
    sending = 0

    class Slow(MemoryGithubApi):
        async def send(self, request: Any) -> GithubResponse:
            nonlocal sending
            sending += 1
            assert sending == 1
            await trio.sleep(2)
            sending -= 1
            return await super().send(request)

    await made.syncs.enqueue_due(100)
    workers = [made.another(name, Slow(made.github)) for name in ("one", "two", "three")]
    made.github.remaining = 5
    async with trio.open_nursery() as nursery:
        for number, context in enumerate(await made.taken()):
            nursery.start_soon(workers[number % 3].sync, context)
    assert len(made.github.ledger) == 5


@pytest.mark.parametrize("fault", [HangError, TrickleError, OSError])
async def test_a_server_that_does_not_answer_in_time(fault: type[OSError]) -> None:
    async with world(True, total_s=0.15) as here:
        here.github.add("trio/trio")
        here.github.faults.append(fault("x"))
        link = await here.link("trio/trio")
        assert len(await here.run()) == 1
        found = await here.state(link)
        assert found.state == "failed"
        assert found.reason.startswith("GitHub does not answer")
        assert await here.until(link) == RETRIES[0]
        assert len(await here.run(RETRIES[0])) == 2
        assert (await here.state(link)).state == "synced"


async def test_a_body_without_an_end_is_read_no_further_than_its_bound() -> None:
    async with world(True) as here:
        here.github.faults.append(EndlessError())
        link = await here.link("trio/trio")
        with trio.fail_after(5):
            await here.run()
        assert (await here.state(link)).reason == "GitHub's response is too large"


async def test_what_is_compressed_without_being_asked_for_is_not_unpacked() -> None:
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
