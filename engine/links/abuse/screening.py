"""Screening: which links the rules quarantine or release, by the lists and settings of the moment."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from engine.links.abuse.quarantine import QuarantineRule
from engine.links.options import MAX_REASON_CHARS
from engine.links.targets.target_policy import TargetPolicy

# Rules that quarantine and release by themselves. What the operator or visitors began, the operator ends.
OWN_RULES: Final = ("blocklist", "lookalike")


class LinkKey(NamedTuple):
    """The place of a link in the order in which links are screened."""

    tenant_id: int
    link_id: int


START: Final = LinkKey(0, 0)


class ScreenedLink(NamedTuple):
    """A link to be screened: all targets that it may lead to, its experiments' too, and its quarantine by the
    engine. `reviewed`: the operator has released it as it is."""

    key: LinkKey
    version: int
    targets: tuple[str, ...]
    rule: QuarantineRule | None
    reason: str
    reviewed: bool


class ScreenedDomain(NamedTuple):
    """A domain's targets, and those of them that are blocked."""

    tenant_id: int
    id: int
    targets: tuple[str, ...]
    blocked: tuple[str, ...]


class Verdict(NamedTuple):
    """A change of a link's quarantine at a version: a rule with its reason, or a release without a rule."""

    key: LinkKey
    version: int
    rule: QuarantineRule | None
    reason: str | None


class ScreeningStore(Protocol):
    """Links and domains of all tenants."""

    async def links(
        self, after: LinkKey, limit: int, *, quarantined_only: bool
    ) -> list[ScreenedLink]:
        """Read links behind a key, in the order of their keys."""

    async def quarantine(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Change quarantines, each in a transaction of its own. Returns the verdicts that changed one: not
        those of links that are gone, have another version by now, or were reviewed meanwhile."""

    async def domains(self, after: LinkKey, limit: int) -> list[ScreenedDomain]:
        """Read domains with targets behind a key of tenant and domain, in the order of their keys."""

    async def block(self, domain: ScreenedDomain, blocked: Sequence[str]) -> None:
        """Set which targets of a domain are blocked."""


def verdict_of(link: ScreenedLink, policy: TargetPolicy, *, releases: bool) -> Verdict | None:
    """Return what the rules change of a link; None: nothing. Without `releases` none is released, as a list is
    missing."""
    if link.reviewed or link.rule not in (None, *OWN_RULES):
        return None
    rule, reason = _cause(link, policy)
    if rule is None:
        return (
            Verdict(link.key, link.version, None, None)
            if releases and link.rule is not None
            else None
        )
    if (rule, reason) == (link.rule, link.reason):
        return None
    return Verdict(link.key, link.version, rule, reason)


def _cause(link: ScreenedLink, policy: TargetPolicy) -> tuple[QuarantineRule | None, str]:
    for target in link.targets:
        if (reason := policy.blocked(target)) is not None:
            return "blocklist", reason[:MAX_REASON_CHARS]
    for target in link.targets:
        if (reason := policy.suspicion(target)) is not None:
            return "lookalike", reason[:MAX_REASON_CHARS]
    return None, ""
