"""Negotiation of a page: which codings a browser takes, and which copy it has already.

Redirects have no use for it, so it is read of requests for pages only.
"""

import re
from collections.abc import Sequence
from typing import Final

from engine.visits.content_coding import coding_of
from engine.visits.request import VisitRequest

MAX_TAGS_BYTES: Final = 512
_FIELDS: Final = re.compile(rb"(?i)\r\n(accept-encoding|if-none-match):[ \t]*([^\r]*)").findall
# The byte behind the first slash of a page's target: its mark; on a profile's domain the end of the path.
PAGE_MARKS: Final = frozenset(b"@ ?")


def negotiate_by_head(request: VisitRequest, head: bytes) -> VisitRequest:
    """Like negotiate(), with the fields of a usual head."""
    accepted: list[bytes] = []
    tags: list[bytes] = []
    for name, value in _FIELDS(head):
        (accepted if name[0] in b"aA" else tags).append(value.rstrip(b" \t"))
    return negotiate(request, accepted, tags)


def negotiate(
    request: VisitRequest, accepted: Sequence[bytes], tags: Sequence[bytes]
) -> VisitRequest:
    """Return the request with the content coding that the values of Accept-Encoding ask for, and the values of
    If-None-Match."""
    if accepted:
        request.coding = coding_of(b",".join(accepted))
    if tags:
        request.known_tags = b",".join(tags)[:MAX_TAGS_BYTES]
    return request
