"""Conversations with GitHub: for any responses they end, stay below the base URL, and give storable results."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.github.conversation import (
    MAX_HOPS,
    MAX_PAUSE,
    MIN_PAUSE,
    Conversation,
    GithubRequest,
    GithubResponse,
    headers_of,
    path_below,
    pause_after,
)
from engine.github.repository import Release, RememberedRepository, Repository, RepositoryFacts
from engine.github.sync import RETRIES, outcome_of

NOW = datetime(2026, 3, 15, 10, 7, tzinfo=UTC)
BASE = "https://git.example/api/v3"
REPOSITORY = Repository("trio", "trio")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
REPOSITORY_BODIES = st.fixed_dictionaries(
    {"full_name": st.text(max_size=20) | st.sampled_from(["trio/trio", "New/name", "a/b/c"])}
    | {"stargazers_count": st.integers() | JSON, "forks_count": st.integers() | JSON},
    optional={
        "archived": st.booleans(), "language": st.none() | st.text(max_size=300),
        "description": st.none() | st.text(min_size=600, max_size=700), "owner": JSON,
        "topics": st.lists(st.text(min_size=100, max_size=120), min_size=18, max_size=25),
        "license": st.none() | st.fixed_dictionaries({"spdx_id": st.none() | st.text()}),
    },
)  # fmt: skip
RELEASE_BODIES = st.fixed_dictionaries(
    {"tag_name": st.text(max_size=200)},
    optional={
        "published_at": st.none() | st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00"])
    },
)
BODIES = st.one_of(
    st.binary(max_size=50),
    *(
        b.map(lambda value: json.dumps(value).encode())
        for b in (JSON, REPOSITORY_BODIES, RELEASE_BODIES)
    ),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "etag": st.text(max_size=300),
        "location": st.text(max_size=40)
        | st.sampled_from(
            [f"{BASE}/repositories/1", "/api/v3/repositories/1", "https://evil.example/"]
        ),
        "retry-after": st.text(max_size=5) | st.integers(0, 10**9).map(str),
        "x-ratelimit-remaining": st.sampled_from(["0", "1", "x", "-1"]),
        "x-ratelimit-reset": st.integers(-(10**12), 10**12).map(str) | st.text(max_size=5),
        "date": st.text(max_size=30) | st.just("Sun, 15 Mar 2026 10:07:00 GMT"),
    },
)
STATUSES = st.sampled_from(
    [200, 200, 200, 301, 302, 304, 307, 401, 403, 404, 410, 418, 429, 451, 500, 599]
)
RESPONSES = st.builds(GithubResponse, STATUSES, HEADERS, BODIES, st.booleans())
REMEMBERED = RememberedRepository(
    facts=RepositoryFacts(
        full_name="old/name", stars=1, forks=1, language=None, description=None, topics=(),
        licence=None, avatar_url=None, archived=False, renamed_to="old/name",
    ),
    etag='"1"', release_due=False, named_at=NOW,
)  # fmt: skip


@given(
    st.lists(RESPONSES, min_size=12, max_size=12),
    st.sampled_from(
        [RememberedRepository(), REMEMBERED, msgspec.structs.replace(REMEMBERED, release_due=True)]
    ),
    st.integers(0, 9),
)
@settings(max_examples=25)
def test_any_responses_end_the_conversation_with_a_result_that_can_be_stored(
    responses: list[GithubResponse], remembered: RememberedRepository, failures: int
) -> None:
    conversation = Conversation(BASE, REPOSITORY, remembered, NOW)
    sent = 0
    while conversation.request is not None:
        assert conversation.request.path.startswith(("/repos/", "/repositories/", "/"))
        assert not set(conversation.request.path) & set("?#% \r\n\\")
        assert ".." not in conversation.request.path
        pause = pause_after(responses[sent], NOW, failures)
        if pause is not None:
            assert timedelta() <= pause.wait <= MAX_PAUSE + timedelta(seconds=1)
        conversation.receive(responses[sent])
        sent += 1
    assert sent <= 2 * (MAX_HOPS + 1)
    assert conversation.result is not None
    assert (conversation.result.ending == "synced") == (conversation.result.reason == "")
    outcome = outcome_of(conversation.result, failures, 1, REPOSITORY.key, NOW, None)
    assert len(outcome.reason) <= 200
    assert outcome.next_at > NOW
    for tag in (outcome.remembered.etag, outcome.remembered.release_etag):
        assert len(tag) <= 200
    text = msgspec.json.encode(outcome.remembered.facts).decode()
    assert len(text) <= 16_384
    assert "\\u0000" not in text
    decoded = msgspec.json.decode(text, type=RepositoryFacts | None)
    assert decoded == outcome.remembered.facts


REPOSITORY_BODY = b'{"full_name": "trio/trio", "stargazers_count": 5, "forks_count": 1}'


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"more": ' + b"[" * 100_000])
def test_a_body_that_is_nested_too_deeply_cannot_be_parsed(body: bytes) -> None:
    conversation = Conversation(BASE, REPOSITORY, RememberedRepository(), NOW)
    conversation.receive(GithubResponse(200, {}, body))
    assert conversation.result is not None
    assert (conversation.result.ending, conversation.result.reason) == (
        "retry",
        "GitHub's response cannot be parsed",
    )
    conversation = Conversation(BASE, REPOSITORY, RememberedRepository(), NOW)
    conversation.receive(GithubResponse(200, {}, REPOSITORY_BODY))
    conversation.receive(GithubResponse(200, {}, body))
    assert conversation.result is not None
    assert conversation.result.ending == "synced"


@pytest.mark.parametrize("date", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+14:00"])
def test_a_release_date_outside_the_years_of_utc_is_left_out(date: str) -> None:
    conversation = Conversation(BASE, REPOSITORY, RememberedRepository(), NOW)
    conversation.receive(GithubResponse(200, {}, REPOSITORY_BODY))
    conversation.receive(
        GithubResponse(200, {}, b'{"tag_name": "v1", "published_at": "%s"}' % date.encode())
    )
    assert conversation.result is not None
    assert conversation.result.remembered.facts is not None
    assert conversation.result.remembered.facts.last_release == Release(tag="v1", published_at=None)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (f"{BASE}/repositories/1", "/repositories/1"),
        ("/api/v3/repositories/1", "/repositories/1"),
        (f"{BASE}/repositories/1/releases/latest", "/repositories/1/releases/latest"),
        ("https://git.example/api/v30/x", None), ("https://git.example/x", None), (BASE, None),
        ("http://git.example/api/v3/x", None), ("https://git.example:444/api/v3/x", None),
        ("https://git.example@evil.example/api/v3/x", None), ("//evil.example/api/v3/x", None),
        (f"{BASE}/../../x", None), (f"{BASE}/%2e%2e/x", None), (f"{BASE}/x?y", None),
        (f"{BASE}/x\r\nHost: y", None), (f"{BASE}/" + "x" * 300, None), ("", None),
    ],
)  # fmt: skip
def test_only_redirects_below_the_base_url_are_followed(location: str, path: str | None) -> None:
    assert path_below(BASE, location) == path


def test_requests_have_credentials_only_with_a_token() -> None:
    request = GithubRequest("/repos/a/b", '"1"')
    assert "Authorization" not in headers_of(request, "")
    headers = headers_of(request, "secret")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["If-None-Match"] == '"1"'
    assert headers["X-GitHub-Api-Version"] == "2022-11-28"


@pytest.mark.parametrize("status", [200, 304, 404, 500])
def test_other_responses_ask_for_no_pause(status: int) -> None:
    assert pause_after(GithubResponse(status, {"x-ratelimit-remaining": "59"}), NOW) is None
    assert pause_after(GithubResponse(status, {"retry-after": "5"}), NOW) is None


def test_pauses_grow_up_to_a_day() -> None:
    limited = GithubResponse(429, {})
    waits = [pause.wait for n in range(20) if (pause := pause_after(limited, NOW, n)) is not None]
    assert waits[:3] == [MIN_PAUSE, 2 * MIN_PAUSE, 4 * MIN_PAUSE]
    assert waits == sorted(waits)
    assert max(waits) <= MAX_PAUSE


def test_a_transient_failure_is_retried_four_times_and_then_once_per_period() -> None:
    conversation: Any = Conversation(BASE, REPOSITORY, RememberedRepository(), NOW)
    conversation.interrupt("retry", "GitHub answers 500")
    waits = [
        outcome_of(conversation.result, n, 1, "trio/trio", NOW, None).next_at - NOW
        for n in range(len(RETRIES))
    ]
    assert waits == list(RETRIES)
    last = outcome_of(conversation.result, len(RETRIES), 1, "trio/trio", NOW, None)
    assert not last.will_retry
