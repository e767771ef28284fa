"""The table of hosts: read when domains change, kept while storage is away."""

import trio
from trio.testing import MockClock

from actors.visits.hosts import MAX_DOMAINS, POLL_S, Hosts
from engine.common.errors import UnavailableError
from engine.visits.domain_host import DomainHost

ADA = DomainHost(b"ada", b"", b"")


class ScriptedDomains:
    """A DomainSource whose `state` the test changes; None: it is away."""

    def __init__(self) -> None:
        self.state: dict[bytes, DomainHost] | None = None
        self.reads = 0

    async def version(self) -> str:
        if self.state is None:
            raise UnavailableError("away")
        return str(sorted(self.state.items()))

    async def domains(self, limit: int) -> dict[bytes, DomainHost]:
        assert self.state is not None
        assert limit == MAX_DOMAINS
        self.reads += 1
        return dict(self.state)


async def test_domains_are_read_when_they_change_and_kept_while_storage_is_away(
    autojump_clock: MockClock,
) -> None:
    source, hosts = ScriptedDomains(), Hosts(known=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosts.follow, source)
        await trio.sleep(3 * POLL_S)
        assert (hosts.known, hosts.decides) == (False, True)
        source.state = {}
        await trio.sleep(2 * POLL_S)
        assert (hosts.known, hosts.decides, source.reads) == (True, False, 1)
        source.state = {b"links.ada.example": ADA}
        await trio.sleep(2 * POLL_S)
        assert (hosts.domains, hosts.decides) == (source.state, True)
        source.state = None
        await trio.sleep(10 * POLL_S)
        assert hosts.domains == {b"links.ada.example": ADA}
        assert source.reads == 2
        nursery.cancel_scope.cancel()
    assert {sample.name: sample.value for sample in hosts.samples()}[
        "waypost_resident_domains"
    ] == 1


def test_a_strict_table_decides_without_domains() -> None:
    assert Hosts(strict=True).decides
    assert not Hosts().decides
    assert Hosts(b"go.example").is_own(b"go.example")
    assert not Hosts(b"go.example").is_own(b"other.example")
