"""TXT records, asked of a real DNS server on the loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rrset
import pytest
import trio

from engine.links.domain import TxtAnswer
from storage.links.txt_records import DnsTxtRecords
from tests.kit.hosted import hosted_run

pytestmark = pytest.mark.trio(run=hosted_run)
NAME = "_waypost.links.example.com"
Answer = Callable[[dns.message.Message], dns.message.Message]


@asynccontextmanager
async def dns_server(answer: Answer) -> AsyncIterator[DnsTxtRecords]:
    """Serve DNS on a free port. Yields TxtRecords that ask it."""
    sock = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
    await sock.bind(("127.0.0.1", 0))

    async def serve() -> None:
        while True:
            query, peer = await sock.recvfrom(4096)
            await sock.sendto(answer(dns.message.from_wire(query)).to_wire(), peer)

    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = sock.getsockname()[1]
    with sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield DnsTxtRecords(resolver)
            nursery.cancel_scope.cancel()


def with_texts(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query)
    name = query.question[0].name
    assert name.to_text() == NAME + "."
    response.answer.append(
        dns.rrset.from_text(name, 60, "IN", "TXT", '"v=spf1"', '"waypost=" "abc"')
    )
    return response


def with_code(code: dns.rcode.Rcode) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(code)
        return response

    return answer


async def test_texts_are_read_and_their_parts_joined() -> None:
    async with dns_server(with_texts) as records:
        assert await records.texts(NAME) == TxtAnswer(("v=spf1", "waypost=abc"))


async def test_a_name_without_records_has_no_texts() -> None:
    for code in (dns.rcode.NXDOMAIN, dns.rcode.NOERROR):
        async with dns_server(with_code(code)) as records:
            assert await records.texts(NAME) == TxtAnswer()


async def test_a_server_that_fails_is_an_answer_with_an_error() -> None:
    async with dns_server(with_code(dns.rcode.REFUSED)) as records:
        answer = await records.texts(NAME)
    assert not answer.texts
    assert "DNS could not be asked" in answer.error


async def test_a_name_that_dns_cannot_have_is_an_answer_with_an_error() -> None:
    answer = await DnsTxtRecords(dns.asyncresolver.Resolver(configure=False)).texts("a" * 64)
    assert "DNS could not be asked" in answer.error
