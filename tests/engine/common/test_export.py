"""CSV and NDJSON files: no cell can be run as a formula, and values come back as they were."""

import csv
import io
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.export import csv_lines, file_head, file_rows, safe_cell
from tests.architecture.sources import name_of, sources

FORMULA = "=+-@\t\r\n＝＋－＠"
INVISIBLE = " \0\x0b\x1f\xa0\xad\u1680\u200b\u200e\u2009\u202e\u2060\u3000\ufeff"
TEXT = st.one_of(st.text(max_size=30), st.text(FORMULA + INVISIBLE + "a1'\",;", max_size=8))
NUMBER = st.one_of(st.integers(), st.floats(), st.booleans())
MOMENT = st.datetimes(timezones=st.just(UTC))
CELL = st.one_of(TEXT, NUMBER, MOMENT, st.none())


def parsed(file: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.decode(), newline="")))


def visible(cell: str) -> str:
    """Return the cell without the leading characters that a spreadsheet may strip."""
    for index, character in enumerate(cell):
        if not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf", "Zs"):
            return cell[index:]
    return ""


def is_number(cell: str) -> bool:
    try:
        return Decimal(cell).is_finite()
    except ArithmeticError:
        return False


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=5))
def test_no_cell_of_any_export_starts_a_formula(rows: list[list[Any]]) -> None:
    names = ["=first", "second", "third"]
    head, *lines = parsed(file_head("csv", names) + file_rows("csv", names, rows))
    assert head == ["'=first", "second", "third"]
    assert [len(line) for line in lines] == [3] * len(rows)
    for line, row in zip(lines, rows, strict=True):
        for cell, value in zip(line, row, strict=True):
            if not isinstance(value, str) and is_number(cell):
                continue
            assert not cell.startswith(tuple(FORMULA))
            assert not visible(cell).startswith(tuple(FORMULA))


@given(TEXT)
def test_a_text_comes_back_as_it_was_or_behind_an_apostrophe(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    ((cell, _),) = parsed(csv_lines([(text, 1)]))
    assert cell in (text, f"'{text}")


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_stay_numbers(number: float) -> None:
    assert type(number)(safe_cell(number)) == number


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("＝1", "'＝1"),
        ("\tx", "'\tx"), ("\rx", "'\rx"), ("\nx", "'\nx"), ("  =1", "'  =1"), ("\ufeff=1", "'\ufeff=1"),
        ("\u200b -1", "'\u200b -1"), ("a=b", "a=b"), (" a", " a"), ("", ""), (None, ""),
        (-3, "-3"), (-0.5, "-0.5"), (float("-inf"), "'-inf"), (True, "True"),
        (datetime(2026, 5, 1, tzinfo=UTC), "2026-05-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_values_and_their_cells(value: Any, cell: str) -> None:
    assert safe_cell(value) == cell


def test_ndjson_has_no_head_and_one_object_per_line() -> None:
    assert file_head("ndjson", ["a"]) == b""
    assert file_rows("ndjson", ["a", "b"], [("=1", -1)]) == b'{"a":"=1","b":-1}\n'


def test_only_the_export_module_writes_csv() -> None:
    files = {name_of(path) for path in sources() if "csv.writer(" in path.read_text()}
    # The benchmark writes a file to import, not one for a spreadsheet.
    assert files - {"bench/kit/link_set.py"} == {"engine/common/export.py"}
