"""A profile as the in-memory twins hold it, and its snapshot."""

from collections.abc import Iterable

from engine.accounts.access import MemberRole
from engine.links.link import Link
from engine.links.profile import MAX_PAGE_LINKS, Profile
from engine.visits.snapshot import EdgeLink, PageLink, Snapshot


class MemoryProfile:
    """A profile and its links by slug; revisions of links, and of those removed, by link id."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.members: dict[int, MemberRole] = {}
        self.links: dict[str, Link] = {}
        self.revisions: dict[int, int] = {}
        self.removed: dict[int, int] = {}


def snapshot(held: MemoryProfile, complete: bool, links: Iterable[Link]) -> Snapshot:
    edge_links = [
        EdgeLink(
            link.id,
            link.slug,
            link.target,
            link.status,
            link.passthrough,
            link.short,
            link.click_id,
        )
        for link in sorted(links, key=lambda link: link.id)
    ]
    ordered = sorted(held.links.values(), key=lambda link: link.id)[:MAX_PAGE_LINKS]
    return Snapshot(
        tenant_id=held.profile.tenant_id,
        profile_id=held.profile.id,
        handle=held.profile.handle,
        title=held.profile.title,
        version=held.profile.version,
        complete=complete,
        links=tuple(edge_links),
        page=tuple(
            PageLink(link.slug, link.title, link.target, link.kind, link.id) for link in ordered
        ),
    )
