"""Cards of pages and links for sharing: the texts, the face and the colours that their picture has."""

from urllib.parse import quote, urlsplit

from engine.pages.page import ProfilePage
from engine.pages.palette import palettes_of
from engine.pages.sharing.card import LinkCardContent
from engine.pages.sharing.sharing_picture import SharingCard, sharing_picture
from engine.pages.themes import THEMES


def page_picture(
    page: ProfilePage, *, title: str, handle: str, url: str, face: bytes = b""
) -> bytes:
    """Return the PNG of a page. `title` and `handle` are the profile's, `face` is the file of its picture."""
    card = SharingCard(
        name=page.sharing.title or page.name or title or f"@{handle}",
        name_fallback=f"@{handle}",
        line=page.sharing.text or " ".join(page.bio.split()),
        address=_shown_address(url),
        face=face,
        is_round=not THEMES[page.theme].is_left,
    )
    return _picture(page, card)


def link_picture(page: ProfilePage, link: LinkCardContent, *, url: str, face: bytes = b"") -> bytes:
    """Return the PNG of a link in the look of its profile's page: its title and where it leads. `url` is the
    link's own."""
    address = _shown_address(url)
    card = SharingCard(
        name=link.title or address,
        name_fallback=quote(address, safe="/:@"),
        line=link.target_host,
        address=address,
        face=face,
        is_round=not THEMES[page.theme].is_left,
    )
    return _picture(page, card)


def _picture(page: ProfilePage, card: SharingCard) -> bytes:
    palettes = palettes_of(page)
    return sharing_picture(card, palettes.dark if page.scheme == "dark" else palettes.light)


def _shown_address(url: str) -> str:
    """Return a URL as people write it: without scheme and query."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}".rstrip("/")
