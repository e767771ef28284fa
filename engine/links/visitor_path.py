"""Parser of visitors' canonical paths."""

from typing import NamedTuple
from urllib.parse import unquote_to_bytes


class ParsedPath(NamedTuple):
    """`/slug` has a slug only, `/@handle` a handle only, `/handle/slug` both."""

    handle: str | None
    slug: str | None


def parse(path: bytes) -> ParsedPath:
    """Return the handle and slug of a path from `engine.links.name.canonical_path` or `encode_path`."""
    first, slash, second = unquote_to_bytes(path)[1:].decode("utf-8").partition("/")
    if slash:
        return ParsedPath(first, second)
    if first.startswith("@"):
        return ParsedPath(first[1:], None)
    return ParsedPath(None, first)
