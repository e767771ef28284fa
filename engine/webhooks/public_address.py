"""IP addresses that the engine may send requests to: global unicast ones, in canonical text form.

An address is refused if it leads, or could be made to lead, to a machine that is not reachable from the
internet: this machine, its network, a cloud's metadata service. `ipaddress.is_global` does not suffice: it
passes NAT64, 6to4, multicast and more. So this module lists the allowed blocks, and the refused parts of them.

Sources: the IANA registries of special-purpose IPv4 and IPv6 addresses and of IPv6 global unicast
assignments (RFC 6890, RFC 4291), each block with the RFC that it comes from.
"""

import ipaddress
import re
from typing import Final

_IPV4_REFUSED: Final = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network, RFC 791; Linux takes 0.0.0.0 for loopback
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598; Alibaba's metadata is 100.100.100.200
        "127.0.0.0/8",  # loopback, RFC 1122
        "168.63.129.16/32",  # Azure's host, seen from its guests
        "169.254.0.0/16",  # link-local, RFC 3927; metadata is 169.254.169.254
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # IETF assignments, RFC 6890; Oracle's metadata is 192.0.0.192
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # AMT, RFC 7450
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved and broadcast, RFC 1112, RFC 919
    )
)
# All other blocks are outside of it: ::, ::1, IPv4-mapped and -compatible, NAT64 (64:ff9b::/96 and
# 64:ff9b:1::/48), discard (100::/64), segment routing (5f00::/16), unique local (fc00::/7), link-local
# (fe80::/10), site-local (fec0::/10), multicast (ff00::/8).
_IPV6_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
_IPV6_REFUSED: Final = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # IETF assignments, RFC 2928: Teredo, benchmarking, ORCHID, AMT, drones
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056
        "2620:4f:8000::/48",  # AS112, RFC 7534
        "3ffe::/16",  # 6bone, given back by RFC 3701
        "3fff::/20",  # documentation, RFC 9637
    )
)
# An interface of ISATAP (RFC 5214) has an IPv4 address in its last 32 bits.
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_IPV4_TEXT: Final = re.compile(r"[0-9.]{7,15}")
_IPV6_TEXT: Final = re.compile(r"[0-9a-f:]{2,39}")


def allowed_address(text: str) -> bool:
    """Return whether a text is a global unicast address in its canonical form.

    Any other spelling is refused, because two parsers may read it as two addresses: octal, hexadecimal or
    whole-number IPv4, zones, brackets, blanks, upper case, superfluous zeros (RFC 5952).
    """
    if _IPV4_TEXT.fullmatch(text):
        return _allowed_ipv4(text)
    return _IPV6_TEXT.fullmatch(text) is not None and _allowed_ipv6(text)


def is_loopback(text: str) -> bool:
    """Return whether a text is an address of 127.0.0.0/8 or ::1 in its canonical form."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    return address.is_loopback and not mapped and str(address) == text


def _allowed_ipv4(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return str(address) == text and not any(address in block for block in _IPV4_REFUSED)


def _allowed_ipv6(text: str) -> bool:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return (
        str(address) == text
        and address in _IPV6_GLOBAL
        and not any(address in block for block in _IPV6_REFUSED)
        and (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP
    )
