"""Memory of request heads: counted exactly, bounded over all connections, and given back."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.visits.head import HeadParser
from api.visits.head_memory import HeadMemory
from api.visits.strict_head import RefusedHead
from engine.operations.settings import Settings
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import HEAD_S, ServedEdge, get, served_edge, shop

PIECES = st.sampled_from(
    [b"\r\n", b"\r", b"GET /a HTTP/1.1\r\nHost: a\r\n", b"\r\nGET /b", get(b"/x"), b"X: " + b"x" * 99, b"\0"]
)  # fmt: skip
OPERATIONS = st.lists(st.tuples(st.integers(0, 2), PIECES | st.sampled_from(["take", "clear"])))


@settings(max_examples=200, deadline=None)
@given(OPERATIONS)
def test_what_connections_keep_is_counted_exactly(
    operations: list[tuple[int, bytes | str]],
) -> None:
    memory = HeadMemory()
    parsers = [HeadParser(memory) for _ in range(3)]
    for number, operation in operations:
        parser = parsers[number]
        if operation == "take":
            head = parser.take()
            if isinstance(head, RefusedHead):
                assert parser.kept_bytes == 0
        elif operation == "clear":
            parser.clear()
        elif isinstance(operation, bytes):
            parser.feed(operation)
        assert memory.kept_bytes == sum(parser.kept_bytes for parser in parsers)


def keeps(edge: ServedEdge, kept_bytes: int) -> bool:
    return edge.server.heads.kept_bytes == kept_bytes


@pytest.mark.trio(run=hosted_run)
async def test_beyond_the_memory_of_heads_those_whose_time_is_over_first_get_503() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.server.heads.max_kept_bytes = 4000
        part = get(b"/shop/a", b"X: " + b"x" * 900)[:-1]
        visitors = []
        for number in range(4):
            visitor, kept_bytes = await edge.visitor(), (number + 1) * len(part)
            await visitor.send(part)
            await edge.until(partial(keeps, edge, kept_bytes))
            visitors.append(visitor)
            edge.advance(1)
        newest = await edge.visitor()
        assert (await newest.request(get(b"/shop/b"))).status == 302  # nothing is kept of it
        await newest.send(part)
        for visitor in visitors[:2]:  # a sixteenth of the memory is free then
            response = await visitor.response()
            assert (response.status, response.closes) == (503, True)
            assert response.headers["retry-after"] == "1"
        for visitor in [*visitors[2:], newest]:
            await visitor.send(b"\n")
            assert (await visitor.response()).status == 302
        assert edge.server.heads.kept_bytes == 0
        assert (edge.server.heads_shed, edge.server.refusals_by_status[503]) == (2, 2)


@pytest.mark.trio(run=hosted_run)
async def test_requests_that_wait_count_as_well_and_all_memory_is_given_back() -> None:
    async with served_edge(Settings(head_timeout_ms=int(HEAD_S * 1000))) as edge:
        await shop(edge)
        edge.profiles.hold()
        one, two, gone = [await edge.visitor() for _ in range(3)]
        await one.send(get(b"/far/x") + get(b"/shop/a") * 2)
        await edge.until(lambda: edge.server.heads.kept_bytes == 2 * len(get(b"/shop/a")))
        edge.server.heads.max_kept_bytes = 1000
        await two.send(b"GET /shop/a HTTP/1.1\r\nX: " + b"x" * 1000)
        assert (await one.response()).status == 503  # its profile's time would be over first
        assert await one.is_closed()
        edge.server.heads.max_kept_bytes = 10_000
        await gone.send(b"GET /shop")
        await edge.until(lambda: edge.server.connections == 3)
        await gone.stream.aclose()
        edge.profiles.release()
        edge.advance(HEAD_S + 0.1)
        await edge.until(lambda: edge.server.heads.kept_bytes == 0)
