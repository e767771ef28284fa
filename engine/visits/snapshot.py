"""A profile at one version, as an edge holds it."""

import msgspec

from engine.experiments.experiment import EdgeExperiment
from engine.links.options import LinkOptions
from engine.pages.page_link import PageLink, SnapshotPage


class EdgeLink(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A link as an edge needs it, which storage reads as a list of these fields. `options` is None for a plain
    redirect."""

    id: int
    slug: str
    target: str
    status: int
    passthrough: bool
    short: bool
    click_id: bool = False
    options: LinkOptions | None = None
    password_hash: str | None = None


class LinkBatch(msgspec.Struct, frozen=True):
    """Links of a profile in the order of their ids, as of `version`; the version is 0 when there are none."""

    version: int
    links: tuple[EdgeLink, ...]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as of `version`, read in one database snapshot.

    `complete`: `links` holds every link of the profile. Otherwise the profile is larger than an edge holds
    whole, and `links` has only the requested ones. With `since` set, it is a difference: `links` changed and
    `removed` (ids) went away after that version, and `complete` says that a complete snapshot stays complete
    with it. `experiments` are all that are not archived. `page` has the profile's links for a page in their
    order, `published` the page that was published, if any; `pictures` has those of variants of experiments.
    """

    tenant_id: int
    profile_id: int
    handle: str
    title: str
    version: int
    complete: bool
    links: tuple[EdgeLink, ...]
    page: tuple[PageLink, ...]
    since: int | None = None
    removed: tuple[int, ...] = ()
    experiments: tuple[EdgeExperiment, ...] = ()
    published: SnapshotPage | None = None
    pictures: bytes = b"{}"
