"""Where requests come from: looked up once an address, whatever stands in front of it in the header."""

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
        self.asked: list[str] = []

    def __call__(self, address: str) -> bytes:
        self.asked.append(address)
        return b"EU\x1fDE\x1f\x1f"


@given(st.lists(ENTRIES, max_size=5), st.integers(1, 3))
def test_it_is_the_address_that_trusted_proxies_vouch_for(entries: list[str], hops: int) -> None:
    header = ",".join(entries)
    lookups = Lookups()
    origin = ClientResolver(lookups, hops).of_forwarded("198.51.100.7", header.encode("latin-1"))
    client = client_address("198.51.100.7", header or None, hops)
    assert lookups.asked == [client]
    assert origin.network == packed_network(client)
    assert origin.rate_limit_subject == (None if client == "127.0.0.1" else network_of(client))


def test_what_the_client_claims_costs_no_lookup() -> None:
    lookups = Lookups()
    origins = ClientResolver(lookups, 1)
    for number in range(50):
        claimed = b"10.0.0.%d, " % number * 20
        origins.of_forwarded("127.0.0.1", claimed + b" 203.0.113.9")
    assert lookups.asked == ["203.0.113.9"]
    origins.forget()
    origins.of_forwarded("127.0.0.1", b"203.0.113.9")
    assert len(lookups.asked) == 2


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_resolver, "MAX_CLIENTS", 10)
    lookups = Lookups()
    origins = ClientResolver(lookups, 0)
    for number in range(100):
        assert origins.of_peer(f"203.0.113.{number}") is origins.of_peer(f"203.0.113.{number}")
        assert len(origins._clients) <= 10
    assert len(lookups.asked) == 100
