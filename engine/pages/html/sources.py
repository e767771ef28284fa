"""Sources of a rendering: what the page's ids stand for, and where the page is."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from engine.github.repository import RepositoryFacts


class LinkCard(msgspec.Struct, frozen=True, kw_only=True):
    """A link as a block shows it. `href` leads to it, `title` is its own, used where the block has none."""

    href: str
    title: str


class RepositoryCard(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as it was at its last synchronisation."""

    facts: RepositoryFacts
    synced_at: datetime


class PagePicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture by its hash: its size in pixels, and the widths and formats that its renditions have."""

    hash: str
    width: int
    height: int
    widths: tuple[int, ...]
    formats: tuple[str, ...] = ("avif", "webp", "jpg")


class PageSources(msgspec.Struct, frozen=True, kw_only=True):
    """All that a rendering needs beyond the page. Blocks whose link or picture is missing here are left out.

    `url` is the page's own address, `path` the one without the host, where its files and forms are: `/@ada`.
    `title` is the profile's. Links and repositories are by id of the link, pictures by id of the asset.
    `sharing_picture` is the path of the card's picture, `report_url` where visitors report the page; both may
    be empty. `is_preview`: shown to members, not to be listed.
    """

    url: str
    path: str
    handle: str
    title: str = ""
    links: Mapping[int, LinkCard] = {}
    repositories: Mapping[int, RepositoryCard] = {}
    pictures: Mapping[str, PagePicture] = {}
    sharing_picture: str = ""
    report_url: str = ""
    is_preview: bool = False

    def file_path(self, name: str) -> str:
        """Return the path of a file that belongs to the page."""
        return f"{self.path.rstrip('/')}/{name}"
