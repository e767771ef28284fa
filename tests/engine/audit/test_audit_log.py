"""Exports of the log of changes."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.audit.audit_log import COLUMNS, ActivityEntry, csv_row
from engine.common.export import csv_lines

AT = datetime(2026, 5, 1, tzinfo=UTC)


def entry(**fields: Any) -> ActivityEntry:
    default = ActivityEntry(
        1, AT, None, None, None, None, "link.updated", "link", 7, None, None, b"\x01" * 32
    )
    return default._replace(**fields)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_cell_is_a_formula_and_none_spills_into_another(email: str, action: str) -> None:
    row = csv_row(entry(email=email, action=action, after={"title": email}))
    text = csv_lines([COLUMNS, row]).decode()
    heading, cells = csv.reader(io.StringIO(text, newline=""))
    assert len(heading) == len(cells)
    for cell in cells:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    exported = dict(zip(heading, cells, strict=True))
    assert exported["user_email"].removeprefix("'") in (email, email.removeprefix("'"))
