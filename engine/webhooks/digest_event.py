"""The event of a digest."""

from engine.stats.dashboards.digest import Digest, DigestGroup
from engine.webhooks.events import (
    DigestCountry,
    DigestLink,
    DigestReady,
    DigestSource,
    DigestTotals,
    EventDraft,
)


def digest_event(tenant_id: int, profile_id: int, digest: Digest) -> EventDraft:
    """Return the event. A profile has one for each period."""
    start, end = digest.start.date(), digest.end.date()
    data = DigestReady(
        profile_id=str(profile_id),
        from_=str(start),
        to=str(end),
        tz=digest.tz,
        totals=DigestTotals(**digest.totals._asdict()),
        before=DigestTotals(**digest.before._asdict()),
        links=tuple(_link(group) for group in digest.groups["link"]),
        sources=tuple(
            DigestSource(source=group.value or None, clicks=group.clicks, before=group.before)
            for group in digest.groups["source"]
        ),
        countries=tuple(
            DigestCountry(country=group.value or None, clicks=group.clicks, before=group.before)
            for group in digest.groups["country"]
        ),
    )
    type_ = f"digest.{digest.cadence}"
    return EventDraft(tenant_id, profile_id, type_, data, once=f"{type_}:{start}")


def _link(group: DigestGroup) -> DigestLink:
    return DigestLink(
        link_id=group.value, name=group.label, clicks=group.clicks, before=group.before
    )
