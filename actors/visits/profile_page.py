"""The source of a profile's page, and the pure function that makes the page of it, in a thread."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from actors.visits.page_renders import TimedPage
from actors.visits.responses import VisitResponses
from engine.assets.address import main_path
from engine.clicks.language import preferred_language
from engine.experiments.experiment import Variant
from engine.links.slugs.link_path import shown_path
from engine.pages.blocks import Block, EmailFormBlock, HeadingBlock
from engine.pages.default_page import default_page
from engine.pages.files import PageFile, page_file
from engine.pages.html.block_view import STALE_AFTER
from engine.pages.html.document import render_page
from engine.pages.html.sources import PageSources
from engine.pages.page import BlockChange, ProfilePage, Translation
from engine.pages.page_changes import next_change_at, translation_of, visible_blocks
from engine.pages.page_link import PageLink, SnapshotPage
from engine.pages.pictures import decode_pictures
from engine.pages.publication import decode_page, shown_block_ids
from engine.pages.sharing.card import NO_LOOK, PageLook, card_path, file_path, link_card, look_of
from engine.pages.shown_links import link_cards, page_path, repository_cards
from engine.visits.snapshot import EdgeLink, Snapshot

_BYTES_OF_LINK: Final = 2_048
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# What an experiment on a page is about: the id of a link, which is a number, or that of a block, which is none.
Subject = str
ShownVariant = tuple[Subject, Variant]


class _TranslationName(msgspec.Struct, frozen=True):
    language: str


class _PageLanguages(msgspec.Struct, frozen=True):
    """The languages of a page; the rest of its JSON is skipped."""

    language: str
    translations: tuple[_TranslationName, ...] = ()

    def page(self) -> ProfilePage:
        """Return an empty page in these languages."""
        translations = tuple(Translation(language=each.language) for each in self.translations)
        return ProfilePage(language=self.language, translations=translations)


class _PackedLink(PageLink, frozen=True, gc=False, array_like=True):
    """A link without the names of its fields, which would be half of its bytes."""


_PACKER: Final = msgspec.msgpack.Encoder()
_UNPACKER: Final = msgspec.msgpack.Decoder(tuple[_PackedLink, ...])
_NO_LINKS: Final = _PACKER.encode(())
_LANGUAGES: Final = msgspec.json.Decoder(_PageLanguages)


class PageSource(msgspec.Struct, frozen=True, gc=False):
    """The source of a profile's page, at one version. `languages` is an empty page in the languages of a page
    that is translated.

    Links are packed, as they are read only when the page is rendered, and an edge may hold a million.
    """

    handle: str = ""
    title: str = ""
    _links: bytes = _NO_LINKS
    _link_count: int = 0
    published: SnapshotPage | None = None
    languages: ProfilePage | None = None
    variant_pictures: bytes = b"{}"
    card: str = ""  # the path of its sharing picture
    look: PageLook = NO_LOOK  # of cards of its links

    @classmethod
    def of(cls, snapshot: Snapshot) -> "PageSource":
        page = snapshot.published
        read = None if page is None else _LANGUAGES.decode(page.page)
        languages = read.page() if read is not None and read.translations else None
        packed = _PACKER.encode([msgspec.structs.astuple(link) for link in snapshot.page])
        key = snapshot.tenant_id, snapshot.profile_id
        card = "" if page is None else card_path(*key, page.number)
        look = NO_LOOK if page is None else look_of(page.page)
        names, links = (snapshot.handle, snapshot.title), (packed, len(snapshot.page))
        return cls(*names, *links, page, languages, snapshot.pictures, card, look)

    @property
    def links(self) -> tuple[PageLink, ...]:
        """Return the profile's links in its own order."""
        return _UNPACKER.decode(self._links)

    @property
    def size(self) -> int:
        """Return how much memory it takes, in links."""
        bytes_ = 0 if self.published is None else len(self.published.page)
        return self._link_count + bytes_ // _BYTES_OF_LINK

    @property
    def path(self) -> str:
        return page_path(self.handle)

    def profile_page(self) -> ProfilePage:
        """Return the page as its members wrote it, or one of the profile's links."""
        if self.published is not None:
            return decode_page(self.published.page)
        return default_page(link.id for link in self.links)

    def shown_links(self) -> tuple[PageLink, ...]:
        """Return the links that the page may show."""
        return self.links if self.published is None else self.published.links

    def subjects(self) -> set[Subject]:
        """Return the links and blocks that an experiment may be about; a hidden block is none."""
        links = {str(link.id) for link in self.shown_links()}
        return links if self.published is None else links | shown_block_ids(self.published.page)

    def link_title(self, link_id: int) -> str:
        """Return the title of a link on the page; empty for one that is not there."""
        return next((link.title for link in self.links if link.id == link_id), "")

    def language_of(self, accept_language: bytes) -> str:
        """Return the language of the translation that a visitor gets; empty for the page as it is written."""
        if self.languages is None:
            return ""
        wanted = preferred_language(accept_language.decode("latin-1"))
        translation = translation_of(self.languages, wanted)
        return "" if translation is None else translation.language

    def file(self, file_name: str, at_us: int, visitors_url: str) -> PageFile | None:
        """Return a file of the page, as it is at a Unix time in microseconds; None if there is none."""
        page = self.profile_page()
        title = page.name or self.title or f"@{self.handle}"
        url = visitors_url + self.path
        return page_file(page, file_name, url=url, title=title, now=moment_of(at_us))

    def link_picture(self, tenant_id: int, link: EdgeLink) -> str:
        """Return the path of the picture that is drawn of a link with a preview."""
        preview = None if link.options is None else link.options.preview
        is_secret = link.password_hash is not None or (
            link.options is not None and link.options.click_limit is not None
        )
        target = "" if is_secret else link.target
        title = "" if preview is None else preview.title
        path = shown_path(self.handle, link.slug)
        return file_path(link_card(tenant_id, link.id, path, title, target, self.look).hash)

    def form(self, block: str, at_us: int) -> EmailFormBlock | None:
        """Return the form for addresses that the page shows in this block; None if there is none."""
        if self.published is None:
            return None
        shown = visible_blocks(self.profile_page(), moment_of(at_us))
        forms = (each for each in shown if isinstance(each, EmailFormBlock) and each.id == block)
        return next(forms, None)

    def picture_url(self, asset_id: str | None, visitors_url: str) -> str | None:
        """Return the URL of a picture that a variant shows; None if it shows none."""
        picture = decode_pictures(self.variant_pictures).get(asset_id) if asset_id else None
        return None if picture is None else visitors_url + main_path(picture.hash)

    def sources(self, visitors_url: str) -> PageSources:
        """Return what a rendering needs beyond the page."""
        links, published = self.shown_links(), self.published
        pictures = {} if published is None else decode_pictures(published.pictures)
        return PageSources(
            url=visitors_url + self.path,
            path=self.path,
            handle=self.handle,
            title=self.title,
            links=link_cards(self.handle, links),
            repositories=repository_cards(links),
            pictures=decode_pictures(self.variant_pictures) | pictures,
            sharing_picture=self.card,
        )


NO_PAGE: Final = PageSource()


def make_page(
    source: PageSource,
    shown: Sequence[ShownVariant],
    language: str,
    at_us: int,
    responses: VisitResponses,
) -> TimedPage:
    """Return the page as it is at a moment, with these variants of experiments."""
    page, now = source.profile_page(), moment_of(at_us)
    sources = source.sources(responses.visitors_url)
    changes = [change for variant in shown for change in block_changes(page, *variant)]
    rendered = render_page(page, sources, now, changes=changes, language=language)
    stale = (card.synced_at + STALE_AFTER for card in sources.repositories.values())
    moments = [moment for moment in stale if moment > now]
    if (change_at := next_change_at(page, now)) is not None:
        moments.append(change_at)
    tails = responses.page_tails(rendered.body, rendered.content_security_policy())
    subjects = frozenset((*map(str, rendered.link_ids), *rendered.block_ids))
    return TimedPage(tails._replace(subjects=subjects), min(map(_us, moments), default=None))


def block_changes(page: ProfilePage, subject: Subject, variant: Variant) -> list[BlockChange]:
    """Return what a variant changes in the blocks that it is of."""
    return [
        _block_change(block, variant)
        for block in page.blocks
        if subject in (getattr(block, "link_id", ""), block.id)
    ]


def _block_change(block: Block, variant: Variant) -> BlockChange:
    style = variant.style
    if style is None and variant.picture and getattr(block, "style", "") == "plain":
        style = "picture"  # a plain link shows none
    return BlockChange(
        block=block.id,
        title=variant.title,
        text=variant.title if isinstance(block, HeadingBlock) else None,
        picture=variant.picture,
        style=style,
        position=variant.position,
    )


def moment_of(at_us: int) -> datetime:
    """Return a Unix time in microseconds as an aware time."""
    return _EPOCH + timedelta(microseconds=at_us)


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
