"""Side paths: what an edge answers about a link or a page, behind a suffix of its path.

    /spring/pixel.gif   a hit of a page elsewhere (engine/visits/hit.py)
    /spring/qr          its QR code
    /spring+            where it leads

No slug may be `qr`, have a dot or a plus, so that a side path is no link's own.
"""

from typing import Literal, NamedTuple

from engine.visits.hit import PIXEL

Side = Literal["hit", "qr", "destination"]


class SidePath(NamedTuple):
    """A side path: `subject` is the raw path of the link or page that it is about."""

    subject: bytes
    side: Side


def side_path(path: bytes) -> SidePath | None:
    """Return the side path that a visitor's raw path is; None for every other path."""
    if path[-3:] == b"/qr" and len(path) > 3:
        return SidePath(path[:-3], "qr")
    if path[-1:] == b"+" and len(path) > 2:
        return SidePath(path[:-1], "destination")
    if path[-len(PIXEL) :] == PIXEL and len(path) > len(PIXEL):
        return SidePath(path[: -len(PIXEL)], "hit")
    return None
