"""How often one address may ask at the visitors' door: a limit of this process alone.

It keeps one sender from taking the door's time from all others; it is no account of anybody, so nothing
is shared and nothing stored. Addresses of this machine are not limited, unless a trusted proxy says whom
it speaks for. When too many addresses come at once, newcomers pass: a link that works is worth more.
"""

import ipaddress
from functools import lru_cache
from typing import Final

from engine.client_address import client_address, network
from engine.local_rate import LocalRate
from engine.rate import Quota

MAX_ADDRESSES: Final = 100_000
MAX_FORWARDED_BYTES: Final = 1024  # more than the addresses of all hops that can be trusted


class VisitLimits:
    """`per_second` requests an address (of IPv6 the /64), as many at once; 0 limits nobody."""

    def __init__(self, per_second: int, trusted_hops: int) -> None:
        self._hops = trusted_hops
        quota = Quota("visits", limit=per_second, period_s=1) if per_second else None
        self._rate = LocalRate(quota, MAX_ADDRESSES, "allow") if quota else None

    def peer(self, address: object) -> str | None:
        """Whom a new connection's requests are counted for; None when they are not counted."""
        if self._rate is None or not isinstance(address, tuple):
            return None
        host = str(address[0])
        return host if self._hops or not _is_own(host) else None

    def admits(self, peer: str, forwarded_for: bytes, now_us: int) -> bool:
        """Count one request. `now_us`: a monotonic clock's."""
        assert self._rate is not None
        # Without trusted proxies the header is anybody's, and no key for a cache.
        forwarded = forwarded_for[-MAX_FORWARDED_BYTES:] if self._hops else b""
        subject = _subject(peer, forwarded, self._hops)
        return subject is None or self._rate.decide(subject, now_us).allowed

    def statistics(self) -> dict[str, int]:
        """Of `engine.local_rate`; empty when nobody is limited."""
        return self._rate.statistics() if self._rate else {}


@lru_cache(maxsize=4096)
def _subject(peer: str, forwarded_for: bytes, hops: int) -> str | None:
    client = client_address(peer, forwarded_for.decode("latin-1") or None, hops)
    return None if _is_own(client) else network(client)


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return True
