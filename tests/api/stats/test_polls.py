"""Polls that are answered before the app: as the app would, and only while it would."""

from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from api.stats import polls
from api.stats.polls import RecentPolls
from api.stats.stats import SEEN_S
from engine.accounts.access import Caller
from engine.operations.settings import Settings
from engine.stats.ports import ProfileKey
from tests.kit.consoles import NOW, Answered, Console

PROFILE = ProfileKey(1, 2)


def fields(answered: Answered) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in answered.headers)


async def polled(console: Console) -> tuple[str, str]:
    """Return (path, tag) of an answer that the console has noted."""
    path = f"/v1/profiles/{(await console.profile())['id']}/stats?group=country"
    return path, (await console.call("GET", path)).headers["ETag"]


async def test_a_poll_has_the_answer_of_the_app(mock_clock: MockClock) -> None:
    console = Console()
    path, tag = await polled(console)
    console.used.clear()
    poll = await console.call("GET", path, If_None_Match=tag, X_Request_Id="same")
    assert (poll.status, poll.body, console.polls.answered) == (304, b"", 1)
    assert len(console.used) == 1
    mock_clock.jump(SEEN_S)
    by_app = await console.call("GET", path, If_None_Match=tag, X_Request_Id="same")
    assert (by_app.status, console.polls.answered) == (304, 1)
    app_limits = by_app.headers.pop("RateLimit")
    limits = poll.headers.pop("RateLimit")
    assert limits != app_limits  # each is charged
    assert limits.partition(";")[0] == app_limits.partition(";")[0]
    assert fields(poll) == fields(by_app)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": 'W/"other"'}, 200),
        ({"key": "two"}, 404),
        ({"key": "unknown"}, 401),
        ({"key": ""}, 401),
        ({"Authorization": "Basic x"}, 401),
    ],
)
async def test_another_request_goes_to_the_app(headers: dict[str, Any], status: int) -> None:
    console = Console()
    path, tag = await polled(console)
    if "key" in headers:
        await console.call("GET", "/v1/profiles", key=headers["key"])
    answered = await console.call("GET", path, **{"If_None_Match": tag} | headers)
    assert (answered.status, console.polls.answered) == (status, 0)
    assert (await console.call("GET", path + "&limit=5", If_None_Match=tag)).status == 200
    assert console.polls.answered == 0


async def test_new_counts_end_a_tag() -> None:
    console = Console()
    path, tag = await polled(console)
    console.stats.stats_version = "new"
    assert (await console.call("GET", path, If_None_Match=tag)).status == 200
    console.stats.stats_version = None
    assert (await console.call("GET", path, If_None_Match=tag)).status == 200
    assert console.polls.answered == 0


async def test_names_of_links_are_not_known_here() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/stats?group=link"
    tag = (await console.call("GET", path)).headers["ETag"]
    assert (await console.call("GET", path, If_None_Match=tag)).status == 304
    assert console.polls.answered == 0


async def test_polls_are_limited_and_a_denied_one_is_charged_once() -> None:
    console = Console(settings=Settings(api_reads_per_minute=3))
    path, tag = await polled(console)
    statuses = [(await console.call("GET", path, If_None_Match=tag)).status for _ in range(2)]
    assert (statuses, console.polls.answered, console.counters.limited) == ([304, 304], 2, 0)
    denied = await console.call("GET", path, If_None_Match=tag)
    assert denied.problem(429) == {}
    assert (console.polls.answered, console.counters.limited) == (2, 1)
    assert denied.headers["Retry-After"] == "20"
    console.clock_us += 20_000_000
    assert (await console.call("GET", path, If_None_Match=tag)).status == 304


def scope(path: str = "/stats", **more: Any) -> dict[str, Any]:
    fields = [(b"host", b"x"), (b"authorization", b"Bearer k"), (b"if-none-match", b'"t"')]
    request = {"method": "GET", "raw_path": path.encode(), "query_string": b"", "headers": fields}
    return request | more


async def noted(recent: RecentPolls, path: str = "/stats", *, until: float = 99.0) -> Any:
    """Note an answer. Returns its target."""
    recent.note(scope(path), Caller(1, 1, request_id="r"), PROFILE, "t", "v", now=NOW, until=until)
    head = polls.poll_head(scope(path))
    assert head is not None
    return head.target


async def version(_: Any) -> str:
    return "v"


async def test_a_tag_lasts_as_long_as_access_and_no_longer_than_the_quarter(
    mock_clock: MockClock,
) -> None:
    recent = RecentPolls(version)
    start = trio.current_time()
    target = await noted(recent, until=start + 5)
    assert await recent.current_tag(Caller(1, 1), target) == "t"
    assert await recent.current_tag(Caller(1, 3), target) is None
    mock_clock.jump(5)
    assert await recent.current_tag(Caller(1, 1), target) is None
    target = await noted(recent, until=start + 10_000)
    rest_s = 900 - (NOW - NOW.replace(minute=0, second=0)) % timedelta(minutes=15) / timedelta(
        seconds=1
    )
    mock_clock.jump(rest_s - 1)
    assert await recent.current_tag(Caller(1, 1), target) == "t"
    mock_clock.jump(1)
    assert await recent.current_tag(Caller(1, 1), target) is None


async def test_tags_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polls, "MAX_POLLS", 2)
    recent = RecentPolls(version)
    until = trio.current_time() + 99
    targets = [await noted(recent, f"/{n}", until=until) for n in range(3)]
    tags = [await recent.current_tag(Caller(1, 1), target) for target in targets]
    assert tags == [None, "t", "t"]


@pytest.mark.parametrize(
    "other",
    [
        scope(method="HEAD"),
        scope("/" + "x" * polls.MAX_TARGET_BYTES),
        scope(headers=[*scope()["headers"], (b"authorization", b"Bearer k")]),
        scope(headers=[*scope()["headers"], (b"if-none-match", b'"t"')]),
        scope(headers=[*scope()["headers"], (b"content-length", b"1")]),
        scope(headers=[*scope()["headers"], (b"transfer-encoding", b"chunked")]),
    ],
)  # fmt: skip
def test_what_is_no_poll(other: dict[str, Any]) -> None:
    assert polls.poll_head(other) is None
