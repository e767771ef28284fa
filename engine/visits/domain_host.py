"""Hosts of visitors' requests: the deployment's own, profiles' domains, and unknown ones."""

import re
from typing import Final, NamedTuple

from engine.links.name import EXACT, canonical_path
from engine.links.slugs.slug_rules import NO_FEATURES, Features
from engine.visits.paths.side_path import side_path

_EXACT: Final = EXACT.encode()
_ADDRESS: Final = re.compile(rb"[0-9.]+|\[.*\]")


class DomainHost(NamedTuple):
    """A verified domain, as an edge answers at it. Empty targets are none; `slugs` is what slugs may have."""

    handle: bytes
    root_target: bytes
    not_found_target: bytes
    slugs: Features = NO_FEATURES


def is_local(host: bytes) -> bool:
    """Return whether a request's host names no site: an address, localhost, or none at all (HTTP/1.0)."""
    return host in (b"", b"localhost") or _ADDRESS.fullmatch(host) is not None


def path_on_domain(handle: bytes, path: bytes) -> bytes | None:
    """Return the path without a domain of what a raw path on a profile's domain is for; None: nowhere.

    `/slug` is the profile's link, `/` its page. Its own paths with its handle lead to the same, as its page has
    them. No path leads to another profile, or to a short slug of the default domain.
    """
    side = side_path(path)
    subject, suffix = (path, b"") if side is None else (side.subject, path[len(side.subject) :])
    if not subject.strip(b"/"):
        return b"/@" + handle + suffix
    canonical = canonical_path(subject)
    if canonical is None:
        return _with_handle(handle, path)
    first, _, second = canonical[1:].partition(b"/")
    if first == b"qr":  # no slug, so on a domain the page's code
        return b"/@" + handle + b"/qr"
    if second:
        is_own = first in (handle, _EXACT + handle)
        return canonical + suffix if is_own else _with_handle(handle, path)
    if first.startswith(b"@"):
        return canonical + suffix if first[1:] == handle else None
    return b"/%b/%b" % (handle, first) + suffix


def _with_handle(handle: bytes, path: bytes) -> bytes | None:
    """Return a raw path of several names behind the handle, as its first may be a slug."""
    first, _, rest = path.lstrip(b"/").partition(b"/")
    if not rest or first[:1] == b"@":
        return None
    return path if first == handle else b"/" + handle + path
