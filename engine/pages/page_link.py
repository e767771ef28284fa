"""Links as pages need them, and a published page with those that it names."""

from datetime import datetime

import msgspec

from engine.github.repository import RepositoryFacts


class PageLink(msgspec.Struct, frozen=True, gc=False):
    """A link as the rendered page needs it. `target` is cut to 2,048 characters; `facts` are GitHub's of its
    repository, as of `synced_at`."""

    slug: str
    title: str
    target: str
    kind: str
    id: int = 0
    thumbnail: str = ""
    facts: RepositoryFacts | None = None
    synced_at: datetime | None = None


class SnapshotPage(msgspec.Struct, frozen=True, gc=False):
    """A published version of a page: its JSON and that of its pictures (engine/pages), which are decoded when
    it is rendered, and those of its links that are not hidden, in any order."""

    number: int
    page: bytes
    pictures: bytes
    links: tuple[PageLink, ...]
