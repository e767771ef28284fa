"""States of a profile's page: the draft that members write, and the versions that were published of it."""

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Final

import msgspec

from engine.common.errors import FieldError, InvalidError
from engine.pages.page import MAX_BLOCKS, ProfilePage

MAX_PAGE_BYTES: Final = 65_536
MAX_VERSIONS: Final = 50


class StoredDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft. `version` grows by one with each change; 0, without a time: nobody has written one, and the page
    is the one that visitors get of such a profile.

    `published` is the number of the version that visitors get, None without one; `is_changed`: the draft
    differs from it.
    """

    profile_id: int
    page: ProfilePage
    version: int = 0
    updated_at: datetime | None = None
    published: int | None = None
    is_changed: bool = True


class PublishedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A published version of a page. Numbers count from 1; visitors get the highest.

    `user_id` is the member who published it.
    """

    profile_id: int
    number: int
    page: ProfilePage
    user_id: int | None
    published_at: datetime


def encode_page(page: ProfilePage) -> bytes:
    """Return a page as JSON, which decode_page() reads. Raises InvalidError if it is too long."""
    text = msgspec.json.encode(page)
    if len(text) > MAX_PAGE_BYTES:
        reason = f"must have at most {MAX_PAGE_BYTES:,} bytes as JSON; this page has {len(text):,}"
        raise InvalidError([FieldError("body", reason)])
    return text


def decode_page(text: bytes | str) -> ProfilePage:
    return msgspec.json.decode(text, type=ProfilePage)


def page_digest(text: bytes) -> str:
    """Return the digest of a page's JSON: 32 hexadecimal digits."""
    return blake2b(text, digest_size=16).hexdigest()


def link_ids(page: ProfilePage) -> tuple[int, ...]:
    """Return the ids of the links that the page's blocks name, in their order, each once."""
    ids = (getattr(block, "link_id", "") for block in page.blocks)
    return tuple(dict.fromkeys(int(id_) for id_ in ids if id_))


def unknown_links(page: ProfilePage, known: Iterable[int]) -> list[FieldError]:
    """Return an error for each block that names a link which is none of `known`."""
    ids = {str(id_) for id_ in known}
    reason = "must be the id of a link of this profile"
    return [
        FieldError(f"blocks[{number}].link_id", reason)
        for number, block in enumerate(page.blocks[:MAX_BLOCKS])
        if (link_id := getattr(block, "link_id", "")) and link_id not in ids
    ]


class _BlockName(msgspec.Struct, frozen=True):
    id: str
    hidden: bool = False


class _BlockNames(msgspec.Struct, frozen=True):
    """The ids of a page's blocks; the rest of its JSON is skipped."""

    blocks: tuple[_BlockName, ...] = ()


_BLOCK_NAMES: Final = msgspec.json.Decoder(_BlockNames)


def block_ids(text: bytes) -> set[str]:
    """Return the ids of the blocks of a page's JSON."""
    return {block.id for block in _BLOCK_NAMES.decode(text).blocks}


def shown_block_ids(text: bytes) -> set[str]:
    """Return the ids of the blocks of a page's JSON that are not hidden."""
    return {block.id for block in _BLOCK_NAMES.decode(text).blocks if not block.hidden}
