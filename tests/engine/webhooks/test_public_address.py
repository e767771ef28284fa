"""Addresses that the engine may send requests to, and the many that it must not."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.webhooks.public_address import is_loopback
from engine.webhooks.webhook import allowed_address

ALLOWED = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
    "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2001:200::", "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450:4001::",
    "2003::1", "2620:4f:8001::", "3ffd::1",
]  # fmt: skip

REFUSED = [
    # Loopback and unspecified, and other spellings of 127.0.0.1.
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "::1", "::", "0:0:0:0:0:0:0:1",
    "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1",
    "127.000.000.001", "127.0.0.1.", "127.0.0.1%eth0", " 127.0.0.1", "127.0.0.1\n", "127。0。0。1",
    "１２７.0.0.1", "①②⑦.⓪.⓪.①",
    # Private, carrier-grade NAT, link-local and metadata.
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
    "100.64.0.1", "100.127.255.255", "100.100.100.200", "169.254.169.254", "169.254.0.1",
    "169.254.170.2", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fe80::a9fe:a9fe", "2852039166",
    # Assignments, documentation, benchmarking, multicast, reserved, broadcast.
    "192.0.0.1", "192.0.0.170", "192.0.2.1", "198.51.100.7", "203.0.113.9", "192.88.99.1",
    "192.31.196.1", "192.52.193.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    # IPv4 within IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "::127.0.0.1",
    "::7f00:1", "::8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::127.0.0.1",
    "64:ff9b::808:808", "64:ff9b:1::7f00:1", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "2002:7f00:1::",
    "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1", "2001::1", "2001:0:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2a00:1450:4001::5efe:7f00:1", "2a00::200:5efe:7f00:1",
    # Other IPv6 addresses that are not global unicast.
    "fc00::1", "fd12:3456:789a::1", "fe80::1", "fe80::1%eth0", "fe80::1%25eth0", "febf::1", "fec0::1",
    "feff::1", "ff00::1", "ff02::1", "ff0e::1", "100::1", "100:0:0:1::1", "2001:db8::1", "3fff::1",
    "3fff:fff::1", "3ffe::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1",
    "2001:30::1", "2001:1ff:ffff::", "2620:4f:8000::1", "5f00::1", "4000::1", "1000::1", "8000::1",
    # Public addresses that are not in canonical form.
    "08.08.08.08", "134744072", "0x08080808", "8.8.2056", "8.8.8.8:443", "[2606:4700:4700::1111]",
    "2606:4700:4700:0:0:0:0:1111", "2606:4700:4700::0:1111", "2606:4700:4700::01111",
    "2A00:1450:4001::1", "2606:4700:4700::1111%1", "2606:4700:4700::1.1.1.1", "8.8.8.8/32", "+8.8.8.8",
    "8.8.8.8\0", "8.8.8.8#", "example.com", "localhost", "", ".", ":", "::g", "1.2.3", "1.2.3.4.5",
    "256.1.1.1", "1.2.3.-4",
]  # fmt: skip


@pytest.mark.parametrize("text", ALLOWED)
def test_public_addresses_are_allowed(text: str) -> None:
    assert allowed_address(text)


@pytest.mark.parametrize("text", REFUSED)
def test_other_addresses_and_spellings_are_refused(text: str) -> None:
    assert not allowed_address(text)


def test_the_refused_list_is_long_and_has_no_duplicates() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 57


@given(st.integers(0, 2**32 - 1))
def test_no_ipv4_address_that_python_calls_private_is_allowed(number: int) -> None:
    address = ipaddress.IPv4Address(number)
    if allowed_address(str(address)):
        assert address.is_global
        assert not address.is_multicast
        for text in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}", str(number)):
            assert not allowed_address(text)
            assert number < 2**16 or not allowed_address(str(ipaddress.ip_address(number)) + "%1")


@given(st.one_of(st.integers(0, 2**128 - 1), st.integers(2**125, 2**126 - 1)))
def test_no_ipv6_address_that_python_calls_private_is_allowed(number: int) -> None:
    address = ipaddress.IPv6Address(number)
    if allowed_address(str(address)):
        assert address.is_global
        assert not any((address.is_multicast, address.sixtofour, address.teredo))
        assert not allowed_address(address.exploded) or address.exploded == str(address)


@given(st.text())
def test_no_text_breaks_the_check(text: str) -> None:
    assert not allowed_address(text) or str(ipaddress.ip_address(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", False),
     ("0.0.0.0", False), ("10.0.0.1", False), ("127.1", False), ("localhost", False)],
)  # fmt: skip
def test_loopback_addresses_in_canonical_form(text: str, expected: bool) -> None:
    assert is_loopback(text) is expected
