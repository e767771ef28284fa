"""Pseudonyms: their input, and that no two inputs have the same bytes."""

from hashlib import blake2b
from ipaddress import IPv6Address
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.visits.client_address import packed_network
from engine.visits.pseudonym import KEY_BYTES, Pseudonymiser

KEY = bytes(range(KEY_BYTES))
ADDRESSES = st.ip_addresses().map(str) | st.just("unix")
VISITORS = st.tuples(st.integers(1, 3), st.integers(1, 3), ADDRESSES, st.binary(max_size=40))


def pack_identity(visitor: tuple[int, int, str, bytes]) -> bytes:
    tenant, profile, address, agent = visitor
    return pack("<qq", tenant, profile) + packed_network(address) + agent


def test_it_is_keyed_blake2b() -> None:
    identity = pack_identity((1, 2, "203.0.113.9", b"ua"))
    assert identity == pack("<qq", 1, 2) + b"\x04\xcb\x00\x71\x09ua"
    assert (
        Pseudonymiser(KEY).pseudonym(identity) == blake2b(identity, digest_size=8, key=KEY).digest()
    )
    assert Pseudonymiser(KEY[::-1]).pseudonym(identity) != Pseudonymiser(KEY).pseudonym(identity)


@given(VISITORS, VISITORS)
def test_two_visitors_have_different_bytes(
    first: tuple[int, int, str, bytes], second: tuple[int, int, str, bytes]
) -> None:
    def parts(visitor: tuple[int, int, str, bytes]) -> tuple[int, int, bytes, bytes]:
        return visitor[0], visitor[1], packed_network(visitor[2]), visitor[3]

    assert (pack_identity(first) == pack_identity(second)) == (parts(first) == parts(second))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_of_ipv6_the_64_counts(line: int, host: int, other: int) -> None:
    packed = packed_network(str(IPv6Address(line << 64 | host)))
    assert packed == b"\x08" + line.to_bytes(8)
    assert packed_network(str(IPv6Address(line << 64 | other))) == packed


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonymiser(bytes(size))
