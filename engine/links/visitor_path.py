"""Parser of visitors' canonical paths."""

from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from engine.links.name import EXACT
from engine.links.slugs.slug_rules import needed_features


class ParsedPath(NamedTuple):
    """`/slug` has a slug only, `/@handle` a handle only, `/handle/slug` and `/~handle/slug` have both. A path
    that no link can have has neither."""

    handle: str | None
    slug: str | None


_NOWHERE: Final = ParsedPath(None, None)


def parse(path: bytes) -> ParsedPath:
    """Return the handle and slug of a path from `engine.links.name.canonical_path` or `encode_path`."""
    first, slash, second = unquote_to_bytes(path)[1:].decode("utf-8").partition("/")
    if slash:
        is_exact = first.startswith(EXACT)
        if is_exact != bool(needed_features(second)):
            return _NOWHERE
        return ParsedPath(first.removeprefix(EXACT), second)
    if first.startswith("@"):
        return ParsedPath(first[1:], None)
    return ParsedPath(None, first)
