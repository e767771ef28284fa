"""Paths of links at the visitors' server.

/ada/spring       a plain slug of a profile; case is ignored
/~ada/Docs/v1.2   the exact path of any other slug, as it is spelt; a domain that allows the slug has it, too
"""

from engine.links.name import EXACT, canonical_name, encode_path
from engine.links.slugs.slug_rules import PLAIN_ASCII, needed_features
from engine.links.visitor_path import parse


def link_path(handle: str, slug: str) -> bytes:
    """Return the path of a stored slug, percent-encoded as browsers send it.

    An edge calls it for each link that it loads, and most slugs have nothing to encode.
    """
    if PLAIN_ASCII(slug):
        return f"/{handle}/{slug}".encode("ascii")
    if not needed_features(slug):
        return encode_path(handle, slug)
    return encode_path(EXACT + handle, *slug.split("/"))


def shown_path(handle: str, slug: str) -> str:
    """Return the path of a stored slug as people read it: in letters, and without the first `/`."""
    return f"{EXACT if needed_features(slug) else ''}{handle}/{slug}"


def folded_path(path: bytes) -> bytes | None:
    """Return the path of a canonical path's slug without regard to case, if that is another path."""
    address = parse(path)
    if address.handle is None or address.slug is None:
        return None
    folded = link_path(address.handle, canonical_name(address.slug))
    return None if folded == path else folded
