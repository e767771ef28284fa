"""Card of a published page: the picture that networks and messengers show of it, drawn when it is published."""

from hashlib import blake2b
from typing import Final, NamedTuple

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


def card_hash(tenant_id: int, profile_id: int, number: int) -> str:
    """Return the hash in the address of a version's card: known before it is drawn, so pages can name it."""
    text = b"1:%d:%d:%d" % (tenant_id, profile_id, number)
    return blake2b(text, digest_size=HASH_CHARS // 2, person=b"waypost-card").hexdigest()


def card_path(tenant_id: int, profile_id: int, number: int) -> str:
    """Return the path of a version's card at the visitors' server."""
    return f"/a/{card_hash(tenant_id, profile_id, number)}.png"
