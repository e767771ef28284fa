"""Pages elsewhere at the visitor server: the pixel that reports their hits, and the variants that they show."""

import base64
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from actors.visits.experiments.hit_variants import NO_HIT_VARIANTS
from actors.visits.route import VisitRoute, is_closed
from api.visits.responses import response_tail
from engine.visits.classifier import HEAD_RECORDED, PREFETCH_RECORDED
from engine.visits.hit import hit_of
from engine.visits.page_variant import PageVariant
from engine.visits.request import Visit

# Pages of any origin may load these.
ANYWHERE: Final = (
    b"Access-Control-Allow-Origin: *\r\nCross-Origin-Resource-Policy: cross-origin\r\n"
)
_GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

_UNSTORED: Final = b"Cache-Control: private, no-store\r\n" + ANYWHERE
_VARIANTS: Final = b"Content-Type: application/json\r\n" + _UNSTORED

PIXEL: Final = response_tail(b"Content-Type: image/gif\r\n" + _UNSTORED, _GIF)


def variants_tail(variants: Sequence[PageVariant]) -> bytes:
    """Return the response to a page that has to show these variants, after its status line and date."""
    return response_tail(_VARIANTS, msgspec.json.encode({"variants": variants}))


def record_hit(route: VisitRoute, visit: Visit) -> tuple[bytes, int]:
    """Return (the record of the hit that a pixel's request, `visit`, reports, how many variants it names that
    its visitor does not have); the record is empty for a closed link. `route` is that of the page or link."""
    if is_closed(route, visit.at_us):
        return b"", 0
    request, hit, classification = visit.request, hit_of(visit.request), visit.classification
    if request.head_only:
        classification = HEAD_RECORDED
    elif request.prefetch:
        classification = PREFETCH_RECORDED
    page_visit = replace(visit, request=hit.request, classification=classification)
    actor, variants = route.actor, NO_HIT_VARIANTS
    if hit.takes_part:
        variants = actor.hit_variants(route, page_visit, hit)
    return actor.hit(route, page_visit, hit, b"", variants.items), variants.refused
