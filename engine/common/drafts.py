"""Drafts: objects as a request wants them, validated field by field so that one response names every error."""

from typing import Any, NamedTuple


class StandIn(NamedTuple):
    """The value of a missing or mistyped field while the other fields of its draft are validated. Errors of
    the stand-in itself are dropped.

    Hashable, and written in the field's type: `slug: Annotated[str, StandIn("a")]`. Every required field
    has one. A field's default is its stand-in, unless the validity of other fields depends on it.
    """

    value: Any


def stand_in_of(type_: Any) -> StandIn | None:
    """Return the stand-in that a field's type is annotated with."""
    metadata = getattr(type_, "__metadata__", ())
    return next((item for item in metadata if isinstance(item, StandIn)), None)
