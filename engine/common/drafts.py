"""Drafts: objects as a request wants them, validated field by field so that one response names every error."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

Stored = TypeVar("Stored")
Draft = TypeVar("Draft")
# A whole new draft, or what makes it of the stored object. The function may run more than once.
Change: TypeAlias = Draft | Callable[[Stored], Draft]


class StandIn(NamedTuple):
    """The value of a missing or mistyped field while the other fields of its draft are validated. Errors of
    the stand-in itself are dropped.

    Hashable, and written in the field's type: `slug: Annotated[str, StandIn("a")]`. Every required field
    has one. A field's default is its stand-in, unless the validity of other fields depends on it.
    """

    value: Any


def draft_after(change: "Change[Draft, Stored]", stored: Stored) -> Draft:
    """Return the draft that `change` makes of the stored object. Call under its lock, so that changes of
    different fields at once all remain. Raises what the function raises.
    """
    return change(stored) if callable(change) else change


def stand_in_of(type_: Any) -> StandIn | None:
    """Return the stand-in that a field's type is annotated with."""
    metadata = getattr(type_, "__metadata__", ())
    return next((item for item in metadata if isinstance(item, StandIn)), None)
