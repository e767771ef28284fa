"""The client's address behind proxies: the N-th from the right of X-Forwarded-For.

Each proxy appends the address that it was called from, so behind N trusted proxies the N-th entry from the
right was written by the outermost of them. Entries further left are claims of the client and never read.
"""

import ipaddress
import re
from typing import Final

MAX_HEADER_CHARS: Final = 4096
_V4_PORT: Final = re.compile(r"([0-9.]{7,15}):[0-9]{1,5}")
_V6_BRACKETS: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?")


def client_address(peer: str, forwarded_for: str | None, hops: int) -> str:
    """Return the address in canonical form; `peer` itself when that is no address, as of a unix socket.

    `forwarded_for` is the header's value, several joined by commas in their order; `hops` is the number of
    trusted proxies. Without them, and when the header has too few entries or no address at that place,
    the peer is returned.
    """
    peer_address = parse_address(peer) or peer
    if hops <= 0 or not forwarded_for:
        return peer_address
    # Only the right end counts: a proxy appends, however long what the client has sent.
    entries = forwarded_for[-MAX_HEADER_CHARS:].rsplit(",", hops)[-hops:]
    if len(forwarded_for[-MAX_HEADER_CHARS:].split(",")) < hops:
        return peer_address
    return parse_address(entries[0]) or peer_address


def parse_address(text: str) -> str | None:
    """Return the canonical form of an address with or without a port; None for other text.

    An IPv4 address in IPv6 becomes that IPv4 address. A zone (`%eth0`) is dropped: it has a meaning on one
    host only.
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
    """Return an IPv4 address itself, the /64 of an IPv6 one (one subscriber's line), other text as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def networks_of(address: str) -> tuple[str, ...]:
    """Return the networks that bounds count for an address, the narrowest first: an IPv4 address alone, the /64
    and the /48 of an IPv6 one. Other text, as of a unix socket, has none."""
    canonical = parse_address(address)
    if canonical is None:
        return ()
    if ":" not in canonical:
        return (canonical,)
    return network_of(canonical), str(ipaddress.ip_network((canonical, 48), strict=False))


def packed_network(address: str) -> bytes:
    """Return network_of() an address as bytes after their length; a zero byte for other text."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return b"\0"
    packed = parsed.packed[:8]
    return bytes((len(packed),)) + packed
