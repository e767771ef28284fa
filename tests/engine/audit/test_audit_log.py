"""Exports of the log: what a spreadsheet must not run, and what comes back as it was."""

import csv
import io
import string
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.audit.audit_log import ActivityEntry, csv_heading, csv_text, safe_cell

AT = datetime(2026, 5, 1, tzinfo=UTC)


def entry(**fields: object) -> ActivityEntry:
    made = ActivityEntry(
        1, AT, None, None, None, None, "link.updated", "link", 7, None, None, b"\x01" * 32
    )
    return made._replace(**fields)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_cell_is_a_formula_and_none_breaks_out_of_its_place(email: str, action: str) -> None:
    text = csv_heading() + csv_text([entry(email=email, action=action, after={"title": email})])
    heading, row = csv.reader(io.StringIO(text, newline=""))
    assert len(heading) == len(row)
    for cell in row:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    found = dict(zip(heading, row, strict=True))
    assert found["user_email"].removeprefix("'") in (email, email.removeprefix("'"))


@given(st.text(string.ascii_letters + " =+-@", min_size=1))
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    safe = safe_cell(text)
    assert safe == (text if text[0] in string.ascii_letters + " " else "'" + text)
