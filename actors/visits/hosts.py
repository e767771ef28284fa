"""Hosts, as an edge knows them: its own, and profiles' verified domains, read again when they change."""

from typing import Final

import trio

from actors.links.orphan_visits import OrphanVisits
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample
from engine.visits.domain_host import DomainHost, is_local
from engine.visits.ports import DomainSource

MAX_DOMAINS: Final = 100_000
POLL_S: Final = 1.0

DOMAINS: Final = Metric("waypost_resident_domains", "Verified domains that edges answer at")
DOMAIN_VISITS: Final = Metric(
    "waypost_domain_visits_total",
    "Visits that led to no link: to the root of a domain, to an unknown path of one, or to an unknown host",
    ("place",),
)


class Hosts:
    """The table of hosts. `decides` is whether a request's host has to be looked at, `known` whether the
    domains were read; `strict`: what is neither own nor a domain is answered with 404."""

    def __init__(self, own: bytes = b"", *, strict: bool = False, known: bool = True) -> None:
        self.strict = strict
        self.known = known
        self.domains: dict[bytes, DomainHost] = {}
        self.decides = strict or not known
        self.orphans = OrphanVisits()
        self.counts = dict.fromkeys(("root", "path", "host"), 0)
        self._own = own
        self._version = ""

    def is_own(self, host: bytes) -> bool:
        """Return whether a host is the deployment's own."""
        return host == self._own or is_local(host)

    def replace(self, domains: dict[bytes, DomainHost]) -> None:
        """Answer at these domains, and at no others."""
        self.domains, self.known = domains, True
        self.decides = self.strict or bool(domains)

    async def follow(self, source: DomainSource) -> None:
        """Read the domains whenever they have changed, for ever. While storage is away, the table stays."""
        while True:
            try:
                version = await source.version()
                if version != self._version:
                    self.replace(await source.domains(MAX_DOMAINS))
                    self._version = version
            except UnavailableError:
                pass
            await trio.sleep(POLL_S)

    def samples(self) -> list[Sample]:
        return [
            DOMAINS.sample(len(self.domains)),
            *DOMAIN_VISITS.by_label(self.counts),
            *self.orphans.samples(),
        ]
