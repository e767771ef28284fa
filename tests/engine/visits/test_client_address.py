"""The client's address: only entries of trusted proxies count, and no input makes it fail."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.visits.client_address import client_address, networks_of, parse_address

ADDRESSES = st.ip_addresses().map(str)
# Anything that a client may send: commas too, so that it can pretend any number of entries.
FORGED = st.text(max_size=60) | st.lists(ADDRESSES, max_size=5).map(", ".join)


@pytest.mark.parametrize(
    ("forwarded", "hops", "expected_address"),
    [
        (None, 1, "10.0.0.1"),
        ("", 1, "10.0.0.1"),
        ("203.0.113.7", 0, "10.0.0.1"),
        ("203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.0.0.2", 2, "203.0.113.7"),
        ("203.0.113.7", 2, "10.0.0.1"),
        ("203.0.113.7:4711", 1, "203.0.113.7"),
        ("[2001:DB8::1]:443", 1, "2001:db8::1"),
        ("[2001:db8::1]", 1, "2001:db8::1"),
        ("2001:db8:0::1", 1, "2001:db8::1"),
        ("::ffff:203.0.113.7", 1, "203.0.113.7"),
        ("fe80::1%eth0", 1, "fe80::1"),
        ("\t203.0.113.7 ", 1, "203.0.113.7"),
        ("unknown", 1, "10.0.0.1"),
        ("203.0.113.7,", 1, "10.0.0.1"),
        ("203.0.113.007", 1, "10.0.0.1"),
        ("_hidden, 203.0.113.7", 2, "10.0.0.1"),
    ],
)
def test_the_entry_of_the_outermost_trusted_proxy_is_the_client(
    forwarded: str | None, hops: int, expected_address: str
) -> None:
    assert client_address("10.0.0.1", forwarded, hops) == expected_address


@pytest.mark.parametrize(
    ("peer", "canonical"),
    [("::ffff:127.0.0.1", "127.0.0.1"), ("2001:DB8::1", "2001:db8::1"), ("unix:", "unix:"), ("", "")],
)  # fmt: skip
def test_without_proxies_it_is_the_peer(peer: str, canonical: str) -> None:
    assert client_address(peer, "203.0.113.7", 0) == canonical


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("203.0.113.7", ("203.0.113.7",)),
        ("::ffff:203.0.113.7", ("203.0.113.7",)),
        ("2001:db8:1:2:3::4", ("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("fe80::1%eth0", ("fe80::/64", "fe80::/48")),
        ("", ()),
        ("unix:", ()),
    ],
)
def test_bounds_count_an_address_by_its_networks(address: str, networks: tuple[str, ...]) -> None:
    assert networks_of(address) == networks


def test_a_proxy_on_a_unix_socket_names_its_client() -> None:
    assert client_address("unix:", "6.6.6.6, 203.0.113.7", 1) == "203.0.113.7"
    assert client_address("unix:", "nonsense", 1) == "unix:"


@given(FORGED, st.lists(ADDRESSES, min_size=1, max_size=16))
def test_a_claim_of_the_client_changes_nothing(forged: str, written: list[str]) -> None:
    """Each proxy appended the address of its caller; the client sent any header before that."""
    honest = ", ".join(written)
    expected = client_address("10.0.0.1", honest, len(written))
    assert client_address("10.0.0.1", f"{forged}, {honest}", len(written)) == expected
    assert expected == parse_address(written[0])


@given(st.text(max_size=200), st.none() | st.text(max_size=200), st.integers(-1, 20))
def test_any_input_gives_an_address_or_the_peer(
    peer: str, forwarded: str | None, hops: int
) -> None:
    address = client_address(peer, forwarded, hops)
    if address != peer:
        ipaddress.ip_address(address)


def test_an_endless_header_costs_no_more_than_its_end() -> None:
    assert client_address("10.0.0.1", "6.6.6.6," * 100_000 + "203.0.113.7", 1) == "203.0.113.7"
