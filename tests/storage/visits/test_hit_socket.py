"""The contract of HitSender, in memory and over the unix socket of an edge."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from engine.common.errors import UnavailableError
from engine.visits.hit import HitAnswer, ServerHit
from engine.visits.hit_draft import MAX_WITH_EXPERIMENTS
from engine.visits.page_variant import PageVariant
from storage.visits import hit_socket
from storage.visits.hit_socket import SUFFIX, EdgeHitSender, serve_hits
from storage.visits.memory_hits import MemoryHits

PROFILE = 7  # of two edges the second


def hit(number: int, path: bytes = b"/@a", url: bytes = b"") -> ServerHit:
    return ServerHit(number.to_bytes(16), path, "203.0.113.9", b"\xffua", b"", url, b"")


@pytest.fixture(params=["memory", "socket"])
async def sender(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Any, MemoryHits]]:
    edge = MemoryHits()
    if request.param == "memory":
        yield edge, edge
        return

    async def handle(hits: Sequence[ServerHit]) -> list[HitAnswer]:
        return await edge.send(PROFILE, hits)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_hits, tmp_path, "edge-1", handle)
        yield EdgeHitSender(tmp_path, ["edge-1", "edge-0"]), edge
        nursery.cancel_scope.cancel()


async def test_each_hit_has_an_outcome(sender: tuple[Any, MemoryHits]) -> None:
    console, edge = sender
    edge.unknown.add(b"/a/none")
    hits = [hit(1), hit(1), hit(2, b"/a/none"), hit(3, url=b"x" * 2048)]
    outcomes = ["recorded", "duplicate", "unknown", "recorded"]
    answers = await console.send(PROFILE, hits)
    assert [answer.outcome for answer in answers] == outcomes
    assert list(edge.recorded.values()) == [hits[0], hits[3]]


async def test_a_hit_in_an_experiment_has_its_variants_and_target(
    sender: tuple[Any, MemoryHits],
) -> None:
    console, edge = sender
    variant = PageVariant(
        experiment_id=str(2**63 - 1), variant="\u00e9" * 64, ref=None, link_id="7", block_id=None,
        title="\U0001f600" * 256, picture_url="https://go.example/a/x", position=0, style="filled",
    )  # fmt: skip
    edge.variants, edge.target = (variant,) * 100, "https://a.example/" + "x" * 32_750
    shows = frozenset(str(number) for number in range(500))
    hits = [replace(hit(n), experiments=True, shows=shows) for n in range(MAX_WITH_EXPERIMENTS)]
    answers = await console.send(PROFILE, hits)
    assert answers == [HitAnswer("recorded", edge.variants, edge.target)] * len(hits)
    assert list(edge.recorded.values()) == hits


async def test_what_an_edge_cannot_record_is_unavailable(sender: tuple[Any, MemoryHits]) -> None:
    console, edge = sender
    edge.away = True
    with pytest.raises(UnavailableError):
        await console.send(PROFILE, [hit(1)])
    edge.away = False
    assert await console.send(PROFILE, [hit(1)]) == [HitAnswer("recorded")]


async def test_without_its_edge_a_profile_is_unavailable(tmp_path: Path) -> None:
    for edges in ([], ["edge-0", "edge-1"]):
        with pytest.raises(UnavailableError, match="edge"):
            await EdgeHitSender(tmp_path, edges).send(PROFILE, [hit(1)])


async def test_nonsense_is_answered_and_the_edge_goes_on(tmp_path: Path) -> None:
    edge = MemoryHits()
    path = tmp_path / f"edge-0{SUFFIX}"
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_hits, tmp_path, "edge-0", lambda hits: edge.send(1, hits))
        for data in (b"\x03\0\0\0abc", b"\xff\xff\xff\xff", b"\1", b""):
            stream = await trio.open_unix_socket(str(path))
            async with stream:
                await stream.send_all(data)
                await stream.send_eof()
                with trio.fail_after(5):
                    answer = b"".join([chunk async for chunk in stream])
            assert b"version" in answer or b"cut off" in answer
        assert path.stat().st_mode & 0o777 == 0o600
        assert await EdgeHitSender(tmp_path, ["edge-0"]).send(1, [hit(1)]) == [
            HitAnswer("recorded")
        ]
        nursery.cancel_scope.cancel()


async def test_an_edge_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hit_socket, "LIMIT_S", 0.05)

    async def hang(hits: Sequence[ServerHit]) -> list[HitAnswer]:
        await trio.sleep_forever()
        raise AssertionError

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_hits, tmp_path, "edge-0", hang)
        with pytest.raises(UnavailableError):
            await EdgeHitSender(tmp_path, ["edge-0"]).send(1, [hit(1)])
        nursery.cancel_scope.cancel()
