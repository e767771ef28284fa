"""Pages with a hostile text in every field, past all validation."""

from datetime import datetime
from typing import Final, TypeVar

import msgspec

from engine.pages.html.document import PageDocument, render_page
from engine.pages.html.sources import LinkCard, PageSources
from engine.pages.page import ProfilePage
from tests.kit.sample_page import BLOCKS, MORE_BLOCKS, NOW, SOURCES, sample_page

Value = TypeVar("Value")
_KEPT: Final = frozenset({"id", "kind", "style"})


def with_texts(value: Value, text: str, name: str = "") -> Value:
    """Return a struct with the text in each of its fields that are texts, past all validation."""
    if isinstance(value, msgspec.Struct):
        fields = {
            field: with_texts(getattr(value, field), text, field)
            for field in value.__struct_fields__
            if field not in _KEPT and not isinstance(getattr(value, field), datetime)
        }
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, tuple):
        return tuple(with_texts(item, text, name) for item in value)  # type: ignore[return-value]
    # Ids of links and pictures lead to nothing when they are unknown, so the block would not be there.
    return text if isinstance(value, str) and name not in {"link_id", "picture", "theme"} else value  # type: ignore[return-value]


def poisoned(text: str) -> tuple[ProfilePage, PageSources]:
    """Return the page of all kinds and its sources, with the text wherever somebody may write one."""
    page = with_texts(sample_page([*BLOCKS, *MORE_BLOCKS], sharing={"title": "x"}), text)
    page = msgspec.structs.replace(page, theme="garden", scheme="auto")
    repositories = {n: with_texts(card, text) for n, card in SOURCES.repositories.items()}
    sources = msgspec.structs.replace(
        SOURCES,
        handle=text,
        title=text,
        links={n: LinkCard(href=text, title=text) for n in SOURCES.links},
        repositories=repositories,
        report_url=text,
    )
    return page, sources


def poisoned_document(text: str) -> PageDocument:
    """Return the document of such a page."""
    return render_page(*poisoned(text), NOW)
