"""Exported links: an import of the file makes the same link, whatever its texts are."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.export import ExportFormat, file_head, file_rows
from engine.links.imports.exported_link import EXPORT_COLUMNS, exported_link
from engine.links.imports.plan import draft_of_row
from engine.links.link import Link, LinkDraft, validate_draft
from tests.kit.link_files import outcomes

AT = datetime(2026, 5, 1, 10, 0, 0, 123_000, UTC)
CHARACTERS = st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="\ufffd")
TITLE = st.text(CHARACTERS, max_size=40)
NOTES = st.text(st.sampled_from("ab\r\n\t,;|\"'=+-@ é\U0001f600"), max_size=40)
TAG = st.text(st.sampled_from("ab|;'=+ \""), max_size=8)
MOMENT = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
@given(
    title=TITLE,
    notes=NOTES,
    tags=st.lists(TAG, max_size=4).map(tuple),
    until=st.none() | MOMENT,
    created_at=MOMENT,
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    position=st.integers(-9, 9),
)
def test_an_import_of_an_export_makes_the_same_link(
    format_: ExportFormat,
    title: str,
    notes: str,
    tags: tuple[str, ...],
    until: datetime | None,
    created_at: datetime,
    flags: tuple[bool, bool, bool],
    position: int,
) -> None:
    values: dict[str, Any] = {"title": title, "notes": notes, "folder": title, "tags": tags}
    hidden, paused, noindex = flags
    draft, _ = validate_draft(
        LinkDraft(
            slug="a", target="https://example.com/", active_until=until, hidden=hidden,
            paused=paused, noindex=noindex, position=position, short=False, **values,
        )
    )  # fmt: skip
    if draft is None:
        return  # a text that no link can have
    fields = msgspec.structs.asdict(draft)
    link = Link(id=1, profile_id=1, version=1, created_at=created_at, updated_at=AT, **fields)
    row = exported_link("ada", link, format_)
    other = exported_link("ada", msgspec.structs.replace(link, slug="b"), format_)
    file = file_head(format_, EXPORT_COLUMNS) + file_rows(format_, EXPORT_COLUMNS, [row, other])
    rows, rejects = outcomes(file)
    assert rejects == {}
    assert [each.slug for each in rows] == ["a", "b"]
    made = draft_of_row(rows[0])
    assert made == draft
    assert rows[0].created_at == created_at
