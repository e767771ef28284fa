"""Cards of pages and links: the pictures that networks and messengers show of them, drawn when they change.

The address of a card follows from what it shows, so an edge names it without asking whether it is drawn.
"""

from datetime import datetime
from hashlib import blake2b
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from engine.assets.asset import HASH_CHARS
from engine.pages.page import ProfilePage

FILE: Final = "card.png"


class DueCard(NamedTuple):
    """A published version whose card is not drawn. `face` is the hash of the page's picture; empty: none."""

    tenant_id: int
    profile_id: int
    number: int
    handle: str
    title: str
    page: ProfilePage
    face: str

    @property
    def hash(self) -> str:
        return card_hash(self.tenant_id, self.profile_id, self.number)


class PageLook(msgspec.Struct, frozen=True):
    """The fields of a page that give links' cards their look; the rest of its JSON is skipped."""

    theme: str = "garden"
    scheme: str = "auto"
    accent: str = ""
    background: str = ""
    picture: str = ""


class LinkCardContent(NamedTuple):
    """The card of a link: the title of its preview, the host that it leads to, or none, and its own address
    without the host, in the look of its profile's page."""

    tenant_id: int
    link_id: int
    title: str
    target_host: str
    path: str
    look: PageLook

    @property
    def hash(self) -> str:
        shown = msgspec.json.encode([*self[:-1], *msgspec.structs.astuple(self.look)])
        return blake2b(
            b"1:" + shown, digest_size=HASH_CHARS // 2, person=b"waypost-link"
        ).hexdigest()


class DueLinkCard(NamedTuple):
    """A link whose card may have changed. `drawn_hash` is that of the card that it has, or empty; `page` and
    `face` are those of its profile; `due_since` tells this change from later ones."""

    profile_id: int
    card: LinkCardContent
    page: ProfilePage
    face: str
    drawn_hash: str
    due_since: datetime

    @property
    def hash(self) -> str:
        return self.card.hash


NO_LOOK: Final = PageLook()
_LOOKS: Final = msgspec.json.Decoder(PageLook)


def look_of(page: bytes | str) -> PageLook:
    """Return the look of a page's JSON."""
    return _LOOKS.decode(page)


def link_card(
    tenant_id: int, link_id: int, path: str, title: str, target: str, look: PageLook
) -> LinkCardContent:
    """Return the card of a link. `path` is its shown_path(); `target` is empty if the link does not tell."""
    return LinkCardContent(tenant_id, link_id, title, _host(target), path, look)


def card_hash(tenant_id: int, profile_id: int, number: int) -> str:
    """Return the hash in the address of a version's card: known before it is drawn, so pages can name it."""
    text = b"1:%d:%d:%d" % (tenant_id, profile_id, number)
    return blake2b(text, digest_size=HASH_CHARS // 2, person=b"waypost-card").hexdigest()


def card_path(tenant_id: int, profile_id: int, number: int) -> str:
    """Return the path of a version's card at the visitors' server."""
    return file_path(card_hash(tenant_id, profile_id, number))


def file_path(hash_: str) -> str:
    """Return the path of a card's file at the visitors' server."""
    return f"/a/{hash_}.png"


def _host(target: str) -> str:
    try:
        host = urlsplit(target).hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")
