"""Further readings of a path that leads nowhere as it is spelt, in the order in which they are looked up.

1. `/gh/foo/bar` is the link `/gh/foo` of a profile, or the short `/gh`, with an extra path
   (engine/links/targets/extra_path.py).
2. It is what is left without the punctuation that programs add (engine/visits/paths/near_path.py).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.links.name import EXACT, MAX_PATH_BYTES, canonical_path
from engine.links.slugs.slug_rules import MAX_NAMES as MAX_SLUG_NAMES
from engine.visits.paths.near_path import near_path
from engine.visits.paths.side_path import side_path

MAX_NAMES: Final = 64
_EXACT: Final = b"/" + EXACT.encode()


class Reading(NamedTuple):
    """A canonical path, and the raw extra path behind it with its first slash; empty: none."""

    path: bytes
    extra: bytes


def readings(path: bytes, *, with_short: bool) -> list[tuple[bytes, bytes]]:
    """Return the readings of a raw path, each a Reading. `with_short`: its first name may be a short slug."""
    found: list[tuple[bytes, bytes]] = []
    if len(path) <= MAX_PATH_BYTES:
        lengths: Sequence[int] = (2, 1) if with_short else (2,)
        if path.startswith(_EXACT):
            lengths = range(1 + MAX_SLUG_NAMES, 1, -1)
        found += _prefixes(path, lengths)
    near = near_path(path)
    if near is not None and near != path and (with_short or _names_a_profile(near)):
        found.append(Reading(near, b""))
    return found


def _names_a_profile(path: bytes) -> bool:
    return path.startswith(b"/@") or path.count(b"/") > 1


def _prefixes(path: bytes, lengths: Sequence[int]) -> list[Reading]:
    names = path.split(b"/")[1:]
    if len(names) > MAX_NAMES:
        return []
    prefixes = []
    for length in lengths:
        if not all(names[:length]) or not any(names[length:]):
            continue
        raw = b"/" + b"/".join(names[:length])
        canonical = canonical_path(raw)
        # A name with an encoded slash is more than one.
        if canonical and canonical.count(b"/") == length and side_path(canonical) is None:
            prefixes.append(Reading(canonical, path[len(raw) :]))
    return prefixes
