"""Paths at a domain that has rules for slugs of its own (engine/links/slugs/slug_rules.py).

A path is looked up as a whole: `/docs/v1.2` is the slug `docs/v1.2` if the domain allows it. What leads nowhere
is read again, in this order:

1. `/gh/foo/bar` is the longest slug that has an extra path: `gh/foo` with `/bar`, or `gh` with `/foo/bar`.
2. It is what is left without the punctuation that programs add.

The profile's own paths, with its handle, are read as everywhere.
"""

from typing import Final
from urllib.parse import unquote_to_bytes

from engine.links.name import EXACT, MAX_PATH_BYTES, RESERVED, canonical_name, slug_name
from engine.links.slugs.link_path import link_path
from engine.links.slugs.slug_rules import MAX_NAMES, Features, needed_features
from engine.visits.domain_host import path_on_domain
from engine.visits.paths.near_path import meant_path
from engine.visits.paths.readings import MAX_NAMES as MAX_PATH_NAMES
from engine.visits.paths.readings import Reading, readings
from engine.visits.paths.side_path import side_path

_OF_PROFILES: Final = ("@", EXACT)
_EXACT: Final = EXACT.encode()


def path_at_domain(handle: bytes, allowed: Features, path: bytes) -> bytes | None:
    """Return the path without a domain of what a raw path at any domain is for; None: nowhere."""
    return ruled_path(handle, allowed, path) if allowed else path_on_domain(handle, path)


def ruled_path(handle: bytes, allowed: Features, path: bytes) -> bytes | None:
    """Return the path without a domain of what a raw path is for, as path_on_domain() does; None: nowhere."""
    side = side_path(path)
    subject, suffix = (path, b"") if side is None else (side.subject, path[len(side.subject) :])
    slug = None if _is_own(handle, subject) else _slug_of(subject, allowed)
    if slug is None:
        return path_on_domain(handle, path)
    return link_path(handle.decode(), slug) + suffix


def ruled_readings(handle: bytes, allowed: Features, path: bytes) -> list[tuple[bytes, bytes]]:
    """Return the readings of a raw path at a domain, each a Reading."""
    if _is_own(handle, path):
        own = path_on_domain(handle, path)
        return [] if own is None else readings(own, with_short=False)
    found: list[tuple[bytes, bytes]] = []
    names = path.split(b"/")[1:]
    if len(path) <= MAX_PATH_BYTES and len(names) <= MAX_PATH_NAMES:
        longest = MAX_NAMES if "slashes" in allowed else 1
        for length in range(min(longest, len(names) - 1), 0, -1):
            prefix = b"/" + b"/".join(names[:length])
            slug = (
                _slug_of(prefix, allowed) if all(names[:length]) and any(names[length:]) else None
            )
            if slug is not None and slug.count("/") == length - 1 and side_path(prefix) is None:
                found.append(Reading(link_path(handle.decode(), slug), path[len(prefix) :]))
    meant = meant_path(path)
    if meant is not None and not _is_own(handle, meant):
        slug = _slug_of(meant, allowed)
        if slug is not None:
            found.append(Reading(link_path(handle.decode(), slug), b""))
    return found


def _is_own(handle: bytes, path: bytes) -> bool:
    """Return whether a path begins with the profile's handle, as exact paths have it or not, and goes on."""
    first, slash, rest = unquote_to_bytes(path).strip(b"/").partition(b"/")
    return bool(slash and rest) and first.lower().removeprefix(_EXACT) == handle


def _slug_of(path: bytes, allowed: Features) -> str | None:
    """Return the slug that a raw path is at a domain; None if no slug there can be it."""
    if len(path) > MAX_PATH_BYTES:
        return None
    try:
        slug = slug_name(unquote_to_bytes(path).decode("utf-8")).strip("/")
    except UnicodeDecodeError:
        return None
    if "case_sensitive" not in allowed:
        slug = canonical_name(slug)
    if (
        not slug
        or slug.startswith(_OF_PROFILES)
        or slug in RESERVED
        or slug.count("/") >= MAX_NAMES
    ):
        return None
    if any(ord(character) < 0x21 or character == "\x7f" for character in slug) or "//" in slug:
        return None
    return slug if needed_features(slug) <= allowed else None
