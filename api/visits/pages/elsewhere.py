"""Pages elsewhere at the visitor server: the pixel that reports their hits."""

import base64
from typing import Final

from msgspec.structs import replace

from actors.visits.route import VisitRoute, is_closed
from api.visits.responses import response_tail
from engine.visits.classifier import HEAD_RECORDED
from engine.visits.hit import hit_of
from engine.visits.request import Visit

# Pages of any origin may load these.
ANYWHERE: Final = (
    b"Access-Control-Allow-Origin: *\r\nCross-Origin-Resource-Policy: cross-origin\r\n"
)
_GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

PIXEL: Final = response_tail(
    b"Content-Type: image/gif\r\nCache-Control: private, no-store\r\n" + ANYWHERE, _GIF
)


def record_hit(route: VisitRoute, visit: Visit) -> list[bytes]:
    """Return the record of the hit that a pixel's request, `visit`, reports; none of a closed link.

    `route` is that of the page or link.
    """
    if is_closed(route, visit.at_us):
        return []
    hit = hit_of(visit.request)
    classification = HEAD_RECORDED if visit.request.head_only else visit.classification
    page_visit = replace(visit, request=hit.request, classification=classification)
    return [route.actor.hit(route, page_visit, hit)]
