"""Clients are resolved once for each address, whatever stands in front of it in the header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.visits import client_resolver as client_resolver
from api.visits.client_resolver import ClientResolver
from engine.visits.client_address import client_address, network_of, packed_network

ENTRIES = st.sampled_from(
    ["203.0.113.9", " 2001:db8::1 ", "[2001:db8::2]:80", "127.0.0.1", "", "junk", "é" * 9]
)


class Lookups:
    def __init__(self) -> None:
        self.addresses: list[str] = []

    def __call__(self, address: str) -> bytes:
        self.addresses.append(address)
        return b"EU\x1fDE\x1f\x1f"


@given(st.lists(ENTRIES, max_size=5), st.integers(1, 3))
def test_the_client_is_the_address_that_trusted_proxies_vouch_for(
    entries: list[str], hops: int
) -> None:
    header = ",".join(entries)
    lookups = Lookups()
    resolved = ClientResolver(lookups, hops).of_forwarded("198.51.100.7", header.encode("latin-1"))
    address = client_address("198.51.100.7", header or None, hops)
    assert lookups.addresses == [address]
    assert resolved.network == packed_network(address)
    assert resolved.rate_limit_subject == (None if address == "127.0.0.1" else network_of(address))


def test_a_claim_of_the_client_costs_no_lookup() -> None:
    lookups = Lookups()
    resolver = ClientResolver(lookups, 1)
    for number in range(50):
        claimed = b"10.0.0.%d, " % number * 20
        resolver.of_forwarded("127.0.0.1", claimed + b" 203.0.113.9")
    assert lookups.addresses == ["203.0.113.9"]
    resolver.forget()
    resolver.of_forwarded("127.0.0.1", b"203.0.113.9")
    assert len(lookups.addresses) == 2


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_resolver, "MAX_CLIENTS", 10)
    lookups = Lookups()
    resolver = ClientResolver(lookups, 0)
    for number in range(100):
        assert resolver.of_peer(f"203.0.113.{number}") is resolver.of_peer(f"203.0.113.{number}")
        assert len(resolver.known) <= 10
    assert len(lookups.addresses) == 100
