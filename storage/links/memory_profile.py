"""A profile of the in-memory twins, and its snapshot."""

from collections.abc import Iterable

import msgspec

from engine.accounts.access import MemberRole
from engine.links.link import Link
from engine.links.options import options_of, pack_options
from engine.links.profile import MAX_PAGE_LINKS, MAX_WHOLE_BYTES, MAX_WHOLE_LINKS, Profile
from engine.links.target import MAX_URL_CHARS
from engine.pages.page_link import PageLink
from engine.visits.snapshot import EdgeLink, Snapshot


class MemoryProfile:
    """A profile, its members' roles by user id and its links by slug.

    `revisions` and `removed` have, by link id, the profile's version of a link's last change or removal.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.members: dict[int, MemberRole] = {}
        self.links: dict[str, Link] = {}
        self.revisions: dict[int, int] = {}
        self.removed: dict[int, int] = {}


def is_whole(entry: MemoryProfile) -> bool:
    """Return whether an edge holds all links of the profile."""
    links = entry.links.values()
    size = sum(len(each.target) + len(pack_options(options_of(each)) or "") for each in links)
    return len(links) <= MAX_WHOLE_LINKS and size <= MAX_WHOLE_BYTES


def _as_edges_obey(link: Link) -> Link:
    is_quarantined = link.quarantined or link.engine_quarantine is not None
    return msgspec.structs.replace(link, quarantined=is_quarantined)


def snapshot(entry: MemoryProfile, complete: bool, links: Iterable[Link]) -> Snapshot:
    edge_links = [
        EdgeLink(
            link.id,
            link.slug,
            link.target,
            link.status,
            link.passthrough,
            link.short,
            link.click_id,
            options_of(_as_edges_obey(link)),
            link.password,
        )
        for link in sorted(links, key=lambda link: link.id)
    ]
    ordered = sorted(
        (link for link in entry.links.values() if not link.hidden),
        key=lambda link: (link.position, link.id),
    )[:MAX_PAGE_LINKS]
    return Snapshot(
        tenant_id=entry.profile.tenant_id,
        profile_id=entry.profile.id,
        handle=entry.profile.handle,
        title=entry.profile.title,
        version=entry.profile.version,
        complete=complete,
        links=tuple(edge_links),
        page=tuple(
            PageLink(link.slug, link.title, link.target[:MAX_URL_CHARS], link.kind, link.id)
            for link in ordered
        ),
    )
