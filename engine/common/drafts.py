"""Drafts: what a request wants an object to be, judged field by field so that one answer names every bad one."""

from typing import Any, NamedTuple


class StandIn(NamedTuple):
    """The value that stands in for a field of a draft that is missing or has the wrong type, while the
    other fields are judged; what is said of the stand-in itself is dropped.

    Hashable, and written in the field's type: `slug: Annotated[str, StandIn("a")]`. Every required field
    has one. A field with a default has that as its stand-in, unless other fields are judged by it.
    """

    value: Any


def stand_in_of(type_: Any) -> StandIn | None:
    """Return the stand-in that a field's type is annotated with."""
    metadata = getattr(type_, "__metadata__", ())
    return next((item for item in metadata if isinstance(item, StandIn)), None)
