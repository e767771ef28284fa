"""Visitors who report a link: their pseudonym, and the token that proves that they were shown the form.

Both are made under the daily key, of the network alone: whoever changes the browser's name stays one reporter.
"""

import struct
from typing import Final

from engine.visits.pseudonym import Pseudonymiser

# No visitor's identity begins with these numbers, as no tenant has them (engine/visits/pseudonym.py).
_FORM: Final = -1
_REPORTER: Final = -2
_IPV6_BYTES: Final = 8


def form_token(pseudonymiser: Pseudonymiser, link_id: int, network: bytes) -> str:
    """Return the token of the form that a visitor's network is shown for a link on a day. Another site can send
    the form in a visitor's name, but cannot know it."""
    return pseudonymiser.pseudonym(_identity(_FORM, link_id, network)).hex()


def reporter_of(pseudonymiser: Pseudonymiser, link_id: int, network: bytes) -> bytes:
    """Return the pseudonym of a visitor who reports a link: one a day for an IPv4 address, or the /48 of
    an IPv6 one, whatever browser it is."""
    return pseudonymiser.pseudonym(_identity(_REPORTER, link_id, network))


def wide_network(network: bytes) -> bytes:
    """Return a client's network, an IPv6 one as its /48: one line may have 65,536 of /64."""
    is_ipv6 = network[:1] == bytes((_IPV6_BYTES,))
    return network[:-2] if is_ipv6 else network


def _identity(purpose: int, link_id: int, network: bytes) -> bytes:
    return struct.pack("<qq", purpose, link_id) + wide_network(network)
