"""Shares of the connections: how many of them a client's address may hold.

Without shares, a single address could hold all connections with a request now and then, and everybody else
would be answered 503. IPv4 counts by address. IPv6 counts by /64, which is a subscriber's line, and more widely
by /48, which is a customer of a hosting company. Connections of trusted proxies have no share: each carries
the requests of many clients. Nor have those of a unix socket, whose peer has no address.
"""

from functools import lru_cache
from typing import Final

from engine.visits.client_address import networks_of

WIDE_SHARES: Final = 4  # shares of a /64 that its /48 may hold

_MAX_CACHED_PEERS: Final = 16_384


class ConnectionShares:
    """Connections by network, in `counts`; `limits` are those of networks_of(), in its order.

    `per_address`: connections of an address or /64; 0: no limit.
    """

    def __init__(self, per_address: int, *, proxied: bool) -> None:
        self.limits = (per_address, WIDE_SHARES * per_address)
        self._limited = per_address > 0 and not proxied
        self.counts: dict[str, int] = {}

    def networks_of(self, peer: str) -> tuple[str, ...]:
        """Return the networks that a connection of this address counts for, the narrowest first."""
        return _networks_of(peer) if self._limited else ()

    def exceeded(self, networks: tuple[str, ...]) -> str | None:
        """Return the first network that has no connection left, or None."""
        for network, limit in zip(networks, self.limits, strict=False):
            if self.counts.get(network, 0) >= limit:
                return network
        return None

    def take(self, networks: tuple[str, ...]) -> None:
        for network in networks:
            self.counts[network] = self.counts.get(network, 0) + 1

    def give_back(self, networks: tuple[str, ...]) -> None:
        for network in networks:
            count = self.counts[network] - 1
            if count:
                self.counts[network] = count
            else:
                del self.counts[network]


_networks_of: Final = lru_cache(_MAX_CACHED_PEERS)(networks_of)
