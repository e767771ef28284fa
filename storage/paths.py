"""What a visitor's canonical path asks for, for the sources that look it up."""

from typing import NamedTuple
from urllib.parse import unquote_to_bytes


class Asked(NamedTuple):
    """`/slug` has a slug only, `/@handle` a handle only, `/handle/slug` both."""

    handle: str | None
    slug: str | None


def parse(path: bytes) -> Asked:
    """Take a path apart that `engine.name.path_key` or `encode_path` spelt."""
    first, slash, second = unquote_to_bytes(path)[1:].decode("utf-8").partition("/")
    if slash:
        return Asked(first, second)
    if first.startswith("@"):
        return Asked(first[1:], None)
    return Asked(None, first)
