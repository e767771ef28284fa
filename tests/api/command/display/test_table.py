"""Tables at 40, 80 and 200 columns: every text is there, and whole."""

import pytest

from api.command.display.table import table_lines

COLUMNS = ("id", "tenant", "kind", "state", "attempt", "run at", "last error")
ID, TENANT = "7312345678901234567", "7312345678901234999"
ERROR = "the receiver at https://hooks.example answered 500 and said nothing else"
ROWS = (
    (ID, TENANT, "webhooks.deliver", "dead", "3", "2026-05-01T10:00:00Z", ERROR),
    ("7", "–", "sessions.purge", "queued", "0", "2026-05-01T10:00:00Z", ""),
)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_text_is_cut_and_no_line_is_too_long(width: int) -> None:
    lines = list(table_lines(COLUMNS, ROWS, width))
    assert all(len(line.text) <= width for line in lines)
    for number, row in enumerate(ROWS):
        texts = [line.text for line in lines if line.row == number]
        words = " ".join(texts).split()
        for cell in row:
            assert set(cell.split()) <= set(words)
        assert texts[0].startswith(row[0])


def test_a_wide_terminal_has_a_line_for_each_row() -> None:
    lines = [line.text for line in table_lines(COLUMNS, ROWS, 200)]
    assert len(lines) == 3
    assert lines[0].index("state") == lines[1].index("dead") == lines[2].index("queued")


def test_what_does_not_fit_stands_below_with_its_column() -> None:
    lines = [line.text for line in table_lines(COLUMNS, ROWS, 80)]
    assert lines[0].split() == ["id", "tenant", "kind", "state", "attempt"]
    assert lines[2] == "    run at 2026-05-01T10:00:00Z"
    assert lines[-1] == "    run at 2026-05-01T10:00:00Z"  # without a last error


def test_the_last_column_is_wrapped_under_itself() -> None:
    first, second, *_ = [line.text for line in table_lines(("id", "error"), [("7", ERROR)], 40)][1:]
    assert first.startswith("7   the receiver")
    assert second.startswith("    ")


def test_characters_of_double_width_keep_the_columns() -> None:
    _, line = table_lines(("kind", "state"), [("日本", "dead")], 80)
    assert line.text == "日本  dead"
