"""Where requests come from: an address, looked at once and remembered for as long as it is asked for.

The address is the peer's, or the one that trusted proxies vouch for (engine/visits/client_address.py). It stays in
this process' memory, as a key of the table below; what is recorded is the place alone. The table is bounded,
and emptied when full: after that each address is looked up once more.
"""

import ipaddress
from collections.abc import Callable
from typing import Final

from engine.clicks.record_items import PLACE, item
from engine.visits.client_address import client_address, network_of, packed_network
from engine.visits.request import ClientInfo

MAX_KNOWN: Final = 16_384
MAX_FORWARDED_BYTES: Final = 1024  # more than the addresses of all hops that can be trusted


class ClientResolver:
    """`place` answers an address with the data of the item PLACE; it must not raise."""

    def __init__(self, place: Callable[[str], bytes], trusted_hops: int) -> None:
        self._place = place
        self._hops = trusted_hops
        self._known: dict[tuple[str, bytes], ClientInfo] = {}

    def of_peer(self, peer: str) -> ClientInfo:
        """Of a connection that no trusted proxy stands in front of."""
        return self._known.get((peer, b"")) or self._look(peer, b"")

    def of_forwarded(self, peer: str, forwarded_for: bytes) -> ClientInfo:
        """Of a request by its X-Forwarded-For, joined by commas; of the proxy when that says nothing.

        Only what trusted proxies wrote is looked at and kept: whatever a client claims in front of it costs
        no look-up and no place in the table.
        """
        entries = forwarded_for.rsplit(b",", self._hops)
        forwarded = (
            b",".join(entries[-self._hops :]) if len(entries) > self._hops else forwarded_for
        )
        forwarded = forwarded[-MAX_FORWARDED_BYTES:]
        return self._known.get((peer, forwarded)) or self._look(peer, forwarded)

    def forget(self) -> None:
        """Places are known better now."""
        self._known.clear()

    def _look(self, peer: str, forwarded: bytes) -> ClientInfo:
        client = client_address(peer, forwarded.decode("latin-1") or None, self._hops)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        found = self._known[peer, forwarded] = ClientInfo(
            packed_network(client),
            item(PLACE, self._place(client)),
            None if _is_own(client) else network_of(client),
        )
        return found


def _is_own(host: str) -> bool:
    """Whether it is this machine's, or no address at all (a unix socket's)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
