"""The client's address behind proxies: the N-th from the right of X-Forwarded-For.

Each proxy appends the address that it was called from, so with N proxies of ours in front, the N-th entry
from the right was written by the outermost of them. What stands further left is whatever the client
claims, and is never looked at.
"""

import ipaddress
import re
from typing import Final

MAX_HEADER_CHARS: Final = 4096
_V4_PORT: Final = re.compile(r"([0-9.]{7,15}):[0-9]{1,5}")
_V6_BRACKETS: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?")


def client_address(peer: str, forwarded_for: str | None, hops: int) -> str:
    """The address in its canonical form; `peer` itself, e.g. that of a unix socket, when it is none.

    `forwarded_for` is the header's value, several joined by commas in their order; `hops` how many
    proxies are trusted. The peer is the answer without trusted proxies, and when the header has fewer
    entries than it must or no address at that place.
    """
    own = parse_address(peer) or peer
    if hops <= 0 or not forwarded_for:
        return own
    # Only the right end counts: a proxy appends, however long what the client has sent.
    entries = forwarded_for[-MAX_HEADER_CHARS:].rsplit(",", hops)[-hops:]
    if len(forwarded_for[-MAX_HEADER_CHARS:].split(",")) < hops:
        return own
    return parse_address(entries[0]) or own


def parse_address(text: str) -> str | None:
    """The canonical form of an address with or without a port; an IPv4 one in IPv6 is that IPv4 one.

    None for what is no address. A zone (`%eth0`) is dropped: it means something to one host only.
    """
    text = text.strip()
    if match := _V4_PORT.fullmatch(text) or _V6_BRACKETS.fullmatch(text):
        text = match[1]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def network_of(address: str) -> str:
    """The address, of an IPv6 one the /64: so many belong to one line."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def packed_network(address: str) -> bytes:
    """`network` as bytes that say their own length; a zero for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return b"\0"
    packed = parsed.packed[:8]
    return bytes((len(packed),)) + packed
