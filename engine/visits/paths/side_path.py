"""Side paths: what an edge answers about a link or a page, behind a suffix of its path.

    /spring/pixel.gif   a hit of a page elsewhere (engine/visits/hit.py)
    /spring/qr          its QR code
    /spring+            where it leads
    /@ada/contact-b1.vcf    a file of the page (engine/pages/files.py)
    /@ada/variants.json     the variants of experiments that a page elsewhere shows
    /@ada/subscribe     the form for addresses of visitors

No slug may be `qr`, have a dot or a plus, so that a side path is no link's own.
"""

import re
from typing import Final, Literal, NamedTuple

from engine.visits.hit import PIXEL

Side = Literal["hit", "qr", "destination", "file", "subscribe", "variants"]
_OF_PAGE: Final = re.compile(
    rb"(/@[^/]+)/(?:(subscribe)|(variants\.json)|manifest\.webmanifest|(?:contact-[a-z0-9-]{1,32}\.vcf|event-[a-z0-9-]{1,32}\.ics))"
)


class SidePath(NamedTuple):
    """A side path: `subject` is the raw path of the link or page that it is about, `name` that of a file."""

    subject: bytes
    side: Side
    name: str = ""


def side_path(path: bytes) -> SidePath | None:
    """Return the side path that a visitor's raw path is; None for every other path."""
    if path[-3:] == b"/qr" and len(path) > 3:
        return SidePath(path[:-3], "qr")
    if path[-1:] == b"+" and len(path) > 2:
        return SidePath(path[:-1], "destination")
    if path[-len(PIXEL) :] == PIXEL and len(path) > len(PIXEL):
        return SidePath(path[: -len(PIXEL)], "hit")
    if path[1:2] == b"@" and (of_page := _OF_PAGE.fullmatch(path)) is not None:
        subject = of_page[1]
        if of_page[2]:
            return SidePath(subject, "subscribe")
        if of_page[3]:
            return SidePath(subject, "variants")
        return SidePath(subject, "file", path[len(subject) + 1 :].decode("ascii"))
    return None
