"""Clients of requests, by address: each address is looked up once, and its client kept in a bounded table.

The address is the peer's, or the one that trusted proxies vouch for (engine/visits/client_address.py). It stays
in this process's memory, as a key of the table below; only the place is recorded. The table is emptied when
full: after that each address is looked up once more.
"""

import ipaddress
from collections.abc import Callable
from typing import Final

from engine.clicks.record_items import PLACE, item
from engine.visits.client_address import client_address, network_of, packed_network
from engine.visits.request import ClientInfo
from engine.visits.rule_matcher import packed_address

MAX_CLIENTS: Final = 16_384
MAX_FORWARDED_BYTES: Final = 1024  # more than the addresses of all hops that can be trusted


class ClientResolver:
    """Resolves addresses to clients. `place` returns the data of the record item PLACE for an address, and must
    not raise. `known`: clients by the peer's address and the entries of trusted proxies, or none of them."""

    def __init__(self, place: Callable[[str], bytes], trusted_hops: int) -> None:
        self._place = place
        self._hops = trusted_hops
        self.known: dict[tuple[str, bytes], ClientInfo] = {}

    def of_peer(self, peer: str) -> ClientInfo:
        """Return the client of a connection that no trusted proxy stands in front of."""
        return self.known.get((peer, b"")) or self._look_up(peer, b"")

    def of_forwarded(self, peer: str, forwarded_for: bytes) -> ClientInfo:
        """Return the client of a request by its X-Forwarded-For, joined by commas; the proxy's when that names
        no address.

        Only entries of trusted proxies are read and kept: a client's claims in front of them cost no look-up
        and no space in the table.
        """
        entries = forwarded_for.rsplit(b",", self._hops)
        forwarded = (
            b",".join(entries[-self._hops :]) if len(entries) > self._hops else forwarded_for
        )
        forwarded = forwarded[-MAX_FORWARDED_BYTES:]
        return self.known.get((peer, forwarded)) or self._look_up(peer, forwarded)

    def forget(self) -> None:
        """Empty the table, as places may have changed."""
        self.known.clear()

    def _look_up(self, peer: str, forwarded: bytes) -> ClientInfo:
        address = client_address(peer, forwarded.decode("latin-1") or None, self._hops)
        if len(self.known) >= MAX_CLIENTS:
            self.known.clear()
        client = self.known[peer, forwarded] = ClientInfo(
            packed_network(address),
            item(PLACE, self._place(address)),
            None if _is_local(address) else network_of(address),
            packed_address(address),
        )
        return client


def _is_local(address: str) -> bool:
    """Return whether the address is this machine's, or none at all, as of a unix socket."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True
