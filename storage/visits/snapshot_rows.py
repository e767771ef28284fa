"""Rows of the statement `profiles` (snapshots.sql), decoded: a profile's links, experiments, published page.

All that a profile has comes in one row, as JSON: a batch of look-ups is one round trip, and one call decodes
the links of a profile, where each field of each link would be an object of the driver first.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.experiments.experiment import EdgeExperiment
from engine.links.profile import MAX_PAGE_LINKS
from engine.links.target import MAX_URL_CHARS
from engine.pages.page_link import PageLink, SnapshotPage
from engine.visits.snapshot import EdgeLink
from storage.experiments.rows import experiment_of_row


class WholeLink(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A link of a whole profile: as visits need it, and as the page does. `revision` is the profile's version
    at its last change."""

    link: EdgeLink
    title: str
    kind: str
    position: int
    hidden: bool
    revision: int

    def page_link(self) -> PageLink:
        link = self.link
        return PageLink(link.slug, self.title, link.target[:MAX_URL_CHARS], self.kind, link.id)


class _ExperimentRow(msgspec.Struct, frozen=True):
    id: int
    state: str
    link_id: int | None
    block_id: str | None
    definition: msgspec.Raw
    phase: int
    winner: int | None
    seed: str
    secret: bytes
    namespace_secret: bytes | None


_LINKS: Final = msgspec.json.Decoder(list[WholeLink])
_EXPERIMENTS: Final = msgspec.json.Decoder(list[_ExperimentRow])
_PAGE_LINKS: Final = msgspec.json.Decoder(tuple[PageLink, ...])


def links_of(row: Any) -> list[WholeLink]:
    """Return the links of a whole profile in the order of their ids; none of a larger one."""
    if row["links"] is None:
        return []
    return sorted(_LINKS.decode(row["links"]), key=lambda whole: whole.link.id)


def page_of(links: Sequence[WholeLink]) -> tuple[PageLink, ...]:
    """Return the profile's links for a page, in their order."""
    shown = [whole for whole in links if not whole.hidden]
    shown.sort(key=lambda whole: (whole.position, whole.link.id))
    return tuple([whole.page_link() for whole in shown[:MAX_PAGE_LINKS]])


def experiments_of(row: Any) -> tuple[EdgeExperiment, ...]:
    """Return the experiments that are not archived, in the order of their ids."""
    if row["experiments"] is None:
        return ()
    return tuple(
        EdgeExperiment(
            experiment_of_row(msgspec.structs.asdict(each)),
            each.secret,
            each.namespace_secret or b"",
        )
        for each in _EXPERIMENTS.decode(row["experiments"])
    )


def published_of(row: Any) -> SnapshotPage | None:
    """Return the published page of a row with number, page, pictures and page_links; None without one."""
    if row["number"] is None:
        return None
    links = _PAGE_LINKS.decode(row["page_links"])
    return SnapshotPage(row["number"], row["page"].encode(), row["pictures"].encode(), links)
