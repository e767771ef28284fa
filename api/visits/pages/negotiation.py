"""Negotiation of a page or of an asset's file: which codings a browser takes, which copy it has already, and
which part of it the browser wants.

Redirects have no use for it, so it is read of requests for pages and assets only.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from engine.assets.address import PREFIX
from engine.visits.content_coding import coding_of
from engine.visits.request import VisitRequest

MAX_TAGS_BYTES: Final = 512
MAX_RANGE_BYTES: Final = 64
FIELDS: Final = (b"accept-encoding", b"if-none-match", b"range", b"if-range")
# A name's first letter in both cases is told apart without trying the name.
_FIELDS: Final = re.compile(
    rb"\r\n([aA](?i:ccept-encoding)|[iI](?i:f-none-match|f-range)|[rR](?i:ange)):[ \t]*([^\r]*)"
).findall
# The byte behind the first slash of a target that may be negotiated: a page's mark, on a profile's domain the
# end of the path, and the start of an asset's address.
MARKS: Final = frozenset(b"@ ?" + PREFIX[1:2])


def is_negotiated(path: bytes) -> bool:
    """Return whether a raw path may be a page's or an asset's."""
    return path == b"/" or path[1:2] == b"@" or path.startswith(PREFIX)


def negotiate_by_head(request: VisitRequest, head: bytes) -> VisitRequest:
    """Like negotiate(), with the fields of a usual head."""
    if not is_negotiated(request.path):
        return request
    pairs = _FIELDS(head)
    if len(pairs) == 1 and len(pairs[0][0]) == len(FIELDS[0]) and request.path[1:2] == b"@":
        # Nearly all views: the browser has no copy.
        request.coding = coding_of(pairs[0][1])
        return request
    fields: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        fields.setdefault(name.lower(), []).append(value.rstrip(b" \t"))
    return negotiate(request, fields)


def negotiate(request: VisitRequest, fields: Mapping[bytes, Sequence[bytes]]) -> VisitRequest:
    """Return the request with what its fields say, values by names in lower case: the content coding that
    Accept-Encoding asks for, the tags of If-None-Match, and of an asset the range, if it has no condition."""
    accepted, tags, ranges, conditions = (fields.get(name, ()) for name in FIELDS)
    if tags:
        request.known_tags = b",".join(tags)[:MAX_TAGS_BYTES]
    if request.path.startswith(PREFIX):
        if len(ranges) == 1 and not conditions:
            request.byte_range = ranges[0][:MAX_RANGE_BYTES]
    elif accepted:
        request.coding = coding_of(b",".join(accepted))
    return request
