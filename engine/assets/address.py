"""Addresses of assets at the visitors' server.

    /a/{hash}               a picture as a JPEG, in its greatest width
    /a/{hash}-640.avif      a rendition
    /a/{hash}.png           the picture that is shared of a page

A file never changes: other contents have another hash.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from engine.assets.asset import CONTENT_TYPES, HASH_CHARS

PREFIX: Final = b"/a/"
MAIN_FILE: Final = "main.jpg"
MAX_PATH: Final = len(PREFIX) + HASH_CHARS + len("-9999.avif")
_KNOWN_PATHS: Final = 4_096
_NAME: Final = re.compile(
    rb"([0-9a-f]{%d})(?:-([1-9][0-9]{0,3}\.(?:avif|webp|jpg))|\.(png))?" % HASH_CHARS
)


class AssetFile(NamedTuple):
    """A file of an asset: the asset's hash and the file's name among those of the asset."""

    hash: str
    name: str

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.name.rpartition(".")[2]]


def asset_file(path: bytes) -> AssetFile | None:
    """Return the file that a visitor's raw path names; None if it is the address of none."""
    return _file(path) if path.startswith(PREFIX) and len(path) <= MAX_PATH else None


@lru_cache(_KNOWN_PATHS)
def _file(path: bytes) -> AssetFile | None:
    match = _NAME.fullmatch(path, len(PREFIX))
    if match is None:
        return None
    name = MAIN_FILE
    if match[2]:
        name = match[2].decode("ascii")
    elif match[3]:
        name = "card.png"
    return AssetFile(match[1].decode("ascii"), name)


def rendition_path(hash_: str, width: int, format_: str) -> str:
    """Return the path of a rendition, without a host."""
    return f"{PREFIX.decode()}{hash_}-{width}.{format_}"


def main_path(hash_: str) -> str:
    """Return the path of the picture as a JPEG."""
    return PREFIX.decode() + hash_
