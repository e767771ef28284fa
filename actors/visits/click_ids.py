"""Click ids as one edge makes them: the parameter by which a target reports a conversion of a click."""

from typing import Final

from engine.clicks.click import VISITOR_BYTES, VisitorClass
from engine.clicks.click_id import PARAMETER, ClickId, ClickIdCipher
from engine.clicks.record_items import (
    COOKIE,
    EXPOSURES,
    NO_VARIANT_REF,
    items,
    unpack_variant_refs,
)

# Visitor classes that get a click id: they may convert at the target, and a prefetch may become a visit.
GIVEN_CLICK_ID: Final = frozenset(
    (
        VisitorClass.UNCLASSIFIED,
        VisitorClass.HUMAN,
        VisitorClass.APP,
        VisitorClass.TOOL,
        VisitorClass.PREFETCH,
    )
)


class ClickIds:
    """Shared by all profile actors of an edge. `cipher` is None until the installation's secret is known;
    `missing` counts the clicks that got no id before that."""

    def __init__(self) -> None:
        self.cipher: ClickIdCipher | None = None
        self.missing = 0

    def parameter(self, click: ClickId) -> bytes:
        """Return the query parameter with the encrypted id; empty while the secret is unknown."""
        if self.cipher is None:
            self.missing += 1
            return b""
        return PARAMETER + self.cipher.seal(click)


def click_of(
    ids: tuple[int, int, int], at_us: int, variant_items: bytes, visitor_id: bytes
) -> ClickId:
    """Return the content of a click id: tenant, profile and link, the time, the first exposure among the record
    items, and the visitor; by cookie, if the exposure is."""
    if not variant_items:
        return ClickId(*ids, at_us, visitor_id=visitor_id)
    data = items(variant_items)
    variant = next(iter(unpack_variant_refs(data.get(EXPOSURES, b""))), NO_VARIANT_REF)
    cookie = data.get(COOKIE, b"")
    by_cookie = bool(cookie) and bool(cookie[VISITOR_BYTES])
    visitor = cookie[:VISITOR_BYTES] if by_cookie else visitor_id
    return ClickId(*ids, at_us, *variant, by_cookie, visitor)
