"""Ports of pages, implemented by storage. Each has a real store and an in-memory twin; one contract suite runs
against both. All methods raise UnavailableError if the server behind them does not answer in time."""

from typing import NamedTuple, Protocol

from engine.accounts.access import Caller
from engine.common.list_page import ListPage
from engine.links.profile import ProfileChange
from engine.pages.html.sources import PagePicture
from engine.pages.page import ProfilePage
from engine.pages.page_link import PageLink
from engine.pages.publication import PublishedVersion, StoredDraft
from engine.pages.sharing.card import DueCard, DueLinkCard


class PagePreview(NamedTuple):
    """A draft, and what a rendering of it needs. `links` are those that it names and that are not hidden."""

    handle: str
    title: str
    page: ProfilePage
    links: tuple[PageLink, ...]
    pictures: dict[str, PagePicture]


class PageStore(Protocol):
    """Drafts and published versions of pages, for members; errors as in ProfileStore.

    Callers must have validated the pages.
    """

    async def draft(self, caller: Caller, profile_id: int) -> StoredDraft:
        """Return the draft of a profile's page, or what it begins with."""

    async def put_draft(
        self, caller: Caller, profile_id: int, page: ProfilePage, if_version: int | None = None
    ) -> StoredDraft:
        """Replace the draft. One that changes nothing makes no new version.

        Raises InvalidError for a link or picture that is none of the profile's, or a page that is too long.
        """

    async def publish(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> tuple[PublishedVersion, ProfileChange]:
        """Publish the draft as the next version; `if_version` is the draft's. Keeps the last MAX_VERSIONS.

        A draft that is published already makes no new version.
        """

    async def list_versions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        """List versions with numbers below `before` (0: all), the newest first."""

    async def page_version(
        self, caller: Caller, profile_id: int, number: int
    ) -> PublishedVersion: ...

    async def restore(
        self, caller: Caller, profile_id: int, number: int, if_version: int | None = None
    ) -> StoredDraft:
        """Make a published version the draft; `if_version` is the draft's."""

    async def preview(self, caller: Caller, profile_id: int) -> PagePreview:
        """Return the draft with what it shows."""


class CardStore(Protocol):
    """Published versions whose cards are to be drawn. Of each profile only the newest is."""

    async def due(self, limit: int) -> list[DueCard]:
        """Return up to `limit` versions whose card is not drawn, and note that their files are about to be
        written."""

    async def drawn(self, card: DueCard, *, has_file: bool) -> None:
        """Note that a card is drawn, in the place of the profile's older ones; or that it cannot be drawn."""


class LinkCardStore(Protocol):
    """Links whose previews have no image of their own, and whose cards may have changed."""

    async def due(self, limit: int) -> list[DueLinkCard]:
        """Return up to `limit` of them, profiles in turn, and note that files of other cards than they have are
        about to be written."""

    async def drawn(self, card: DueLinkCard, *, has_file: bool) -> None:
        """Note that a link has this card, or that it cannot be drawn."""
