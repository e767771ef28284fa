"""A rate of requests for each address, however it is named; this machine is not limited."""

import pytest

from api.visits.client_resolver import ClientResolver
from api.visits.limits import VisitRateLimiter
from engine.operations.settings import Settings
from engine.visits.client_address import network_of
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import get, served_edge


def admitted(
    limits: VisitRateLimiter, peer: str, forwarded: bytes = b"", now_us: int = 0, hops: int = 0
) -> bool:
    return limits.admits(ClientResolver(lambda _: b"", hops).of_forwarded(peer, forwarded), now_us)


def test_an_address_has_its_rate() -> None:
    limits = VisitRateLimiter(3)
    assert [admitted(limits, "198.51.100.1") for _ in range(4)] == [True] * 3 + [False]
    assert admitted(limits, "198.51.100.2")
    assert admitted(limits, "198.51.100.1", now_us=333_334)


@pytest.mark.parametrize("own", ["127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_not_limited(own: str) -> None:
    limits = VisitRateLimiter(1)
    assert all(admitted(limits, own) for _ in range(5))


def test_0_is_no_limit() -> None:
    limits = VisitRateLimiter(0)
    assert all(admitted(limits, "198.51.100.1", b"203.0.113.9") for _ in range(5))
    assert [sample.value for sample in limits.samples()] == [0]


def test_the_address_is_the_one_that_the_trusted_proxy_names() -> None:
    limits = VisitRateLimiter(1)
    assert admitted(limits, "127.0.0.1", b"6.6.6.1, 203.0.113.9", hops=1)
    assert not admitted(limits, "127.0.0.1", b"6.6.6.2, 203.0.113.9", hops=1)
    assert admitted(limits, "127.0.0.1", b"203.0.113.9, 203.0.113.10", hops=1)
    assert all(admitted(limits, "127.0.0.1", b"\xff", hops=1) for _ in range(3)), "the proxy itself"


def test_a_64_of_ipv6_is_one_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("198.51.100.1") == "198.51.100.1"
    assert network_of("unix") == "unix"


@pytest.mark.trio(run=hosted_run)
async def test_the_server_answers_429_and_counts_no_click() -> None:
    limits = Settings(visits_per_second=2, trusted_hops=1, head_timeout_ms=5000)
    async with served_edge(limits) as edge:
        await edge.profiles.add_profile("shop", "a")
        await edge.warm(b"/shop/a")
        recorded = len(edge.journal.records)
        visitor = await edge.visitor()
        request = get(b"/shop/a", b"X-Forwarded-For: 203.0.113.9")
        responses = [await visitor.request(request) for _ in range(3)]
        assert [response.status for response in responses] == [302, 302, 429]
        assert responses[2].headers["retry-after"] == "1"
        assert not any(name.startswith("ratelimit") for name in responses[0].headers)
        other = get(b"/shop/a", b"X-Forwarded-For: 203.0.113.9, 203.0.113.10")
        assert (await visitor.request(other)).status == 302
        await visitor.send(request + other)  # pipelined: the strict parser
        assert [(await visitor.response()).status for _ in range(2)] == [429, 302]
        assert len(edge.journal.records) == recorded + 4
        assert edge.server.refusals_by_status[429] == 2


_FORGED_FIELDS = b"\r\nX-Forwarded-For: 8.8.8.8\r\nUser-Agent: forged\r\n\r\n"
_LENGTH = b"Content-Length: %d" % len(_FORGED_FIELDS)
_CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.trio(run=hosted_run)
@pytest.mark.parametrize(
    ("field", "body"),
    [
        (_LENGTH, _FORGED_FIELDS),
        (_CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(_FORGED_FIELDS), _FORGED_FIELDS)),
        (_CHUNKED, b"0" + _FORGED_FIELDS),  # as trailers
    ],
    ids=["length", "chunked", "trailers"],
)
async def test_a_body_names_no_client_and_so_evades_no_limit(field: bytes, body: bytes) -> None:
    limits = Settings(visits_per_second=5, trusted_hops=1, head_timeout_ms=5000)
    async with served_edge(limits) as edge:
        await edge.profiles.add_profile("shop", "a")
        await edge.warm(b"/shop/a")
        recorded = len(edge.journal.records)
        for _ in range(6):
            visitor = await edge.visitor()
            head = get(b"/shop/a", b"X-Forwarded-For: 203.0.113.9", field)
            assert (await visitor.request(head + body)).status == 413
        assert len(edge.journal.records) == recorded
