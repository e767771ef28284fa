"""Target policy: where links may lead by the operator's settings and lists, and warnings of targets."""

from collections.abc import Mapping
from typing import Final, Literal, Protocol

import ada_url
import msgspec

from engine.common.errors import FieldError
from engine.links.link import LinkDraft
from engine.links.options import MAX_REASON_CHARS, LinkOptions, targets_by_field
from engine.links.targets.blocklist import Blocklist
from engine.links.targets.lookalikes import Lookalikes
from engine.links.targets.shorteners import shortener_of

ShortenerRule = Literal["allow", "warn", "refuse"]
LookalikeRule = Literal["allow", "warn", "quarantine", "refuse"]


class RefusedTargets(Protocol):
    """Targets to which nothing may lead."""

    def reason(self, target: str) -> str | None:
        """Return why nothing may lead to this normalised target; None if it may."""


class TargetPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy of a moment: the blocklists in use, and what is done about shorteners and lookalikes."""

    blocklists: tuple[Blocklist, ...] = ()
    shorteners: ShortenerRule = "warn"
    lookalikes: LookalikeRule = "warn"
    names: Lookalikes = msgspec.field(default_factory=Lookalikes)

    def with_blocklists(self, blocklists: tuple[Blocklist, ...]) -> "TargetPolicy":
        return msgspec.structs.replace(self, blocklists=blocklists)

    def blocked(self, target: str) -> str | None:
        """Return why a target is on a blocklist, None if it is on none."""
        reasons = (blocklist.reason(target) for blocklist in self.blocklists)
        return next((reason for reason in reasons if reason is not None), None)

    def reason(self, target: str) -> str | None:
        """Return why nothing may lead to this normalised target; None if it may."""
        if (reason := self.blocked(target)) is not None:
            return reason
        if self.shorteners == "refuse" and (shortener := _shortener(target)) is not None:
            return f"must lead to the page itself: {shortener} is a shortener"
        if self.lookalikes == "refuse" and (lookalike := self.lookalike(target)) is not None:
            return f"must lead to no lookalike: it {lookalike}"
        return None

    def suspicion(self, target: str) -> str | None:
        """Return why a link to this target is to be quarantined; None if it is not."""
        return self.lookalike(target) if self.lookalikes == "quarantine" else None

    def warning(self, target: str) -> str | None:
        """Return what its owner should know of a target that is allowed; None: nothing."""
        if self.shorteners == "warn" and (shortener := _shortener(target)) is not None:
            return (
                f"leads to {shortener}, a shortener: where that leads can change without a notice"
            )
        return None if self.lookalikes == "allow" else self.lookalike(target)

    def warnings(self, link: LinkOptions, target: str) -> dict[str, str]:
        """Return the warnings of a link's targets, by field."""
        targets = _targets(link, target)
        return {
            field: warning
            for field, url in targets.items()
            if (warning := self.warning(url)) is not None
        }

    def lookalike(self, target: str) -> str | None:
        """Return what a target's host can be taken for, None for one that looks like itself."""
        host = _host(target)
        return None if host is None else self.names.reason(host)


NO_POLICY: Final = TargetPolicy(shorteners="allow", lookalikes="allow")


def blocked_fields(
    draft: LinkOptions, target: str, stored: frozenset[str], policy: RefusedTargets
) -> list[FieldError]:
    """Return the errors of a draft's targets that are refused, but not in `stored`: a link that leads to one
    already may be paused, quarantined or changed otherwise."""
    return [
        FieldError(field, reason)
        for field, url in _targets(draft, target).items()
        if url not in stored and (reason := policy.reason(url)) is not None
    ]


def with_suspicion(draft: LinkDraft, policy: TargetPolicy) -> LinkDraft:
    """Return a draft quarantined, if the policy quarantines links to one of its targets; else as it is."""
    reasons = (policy.suspicion(url) for url in targets_of(draft, draft.target))
    reason = next((reason for reason in reasons if reason is not None), None)
    if reason is None:
        return draft
    return msgspec.structs.replace(
        draft, quarantined=True, quarantine_reason=reason[:MAX_REASON_CHARS]
    )


def targets_of(link: LinkOptions, target: str) -> frozenset[str]:
    """Return all addresses that a link may lead to."""
    return frozenset(_targets(link, target).values())


def _targets(link: LinkOptions, target: str) -> Mapping[str, str]:
    return {"target": target, **targets_by_field(link)}


def _shortener(target: str) -> str | None:
    host = _host(target)
    return None if host is None else shortener_of(host)


def _host(target: str) -> str | None:
    """Return the host of a web target, None for every other one."""
    if not target.startswith(("http://", "https://")):
        return None
    try:
        return ada_url.URL(target).hostname
    except ValueError:
        return None
