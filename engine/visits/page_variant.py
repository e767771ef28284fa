"""Variants of experiments on the page, as a page elsewhere shows them.

A `ref` names a variant of an experiment in one phase: `81-1-0`. A page says by it what it showed; an edge that
assigns the visitor another variant records nothing of it.
"""

import re
from typing import Annotated, Final

import msgspec

from engine.clicks.record_items import VariantRef

_REF: Final = re.compile("([1-9][0-9]{0,18})-([1-9][0-9]{0,4})-([0-9])").fullmatch


def _about(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description)


class PageVariant(msgspec.Struct, frozen=True, kw_only=True):
    """The variant of an experiment on the page that a visitor gets. What is null stays as it is on the page."""

    experiment_id: str
    variant: Annotated[str, _about("the variant's name")]
    ref: Annotated[
        str | None,
        _about("names the variant in hits; null if the visitor does not count in the experiment"),
    ]
    link_id: Annotated[str | None, _about("the link that the experiment is on")]
    block_id: Annotated[str | None, _about("or the block of the published page")]
    title: str | None
    picture_url: str | None
    position: Annotated[int | None, _about("the place on the page, from 0")]
    style: str | None


def ref_text(ref: VariantRef) -> str:
    """Return the text that stands for a variant in hits."""
    return f"{ref.experiment_id}-{ref.phase}-{ref.variant}"


def parse_ref(text: str) -> VariantRef | None:
    """Return the variant that a text names, or None; it may be one that does not exist."""
    match = _REF(text)
    return None if match is None else VariantRef(*map(int, match.groups()))
