"""Tables for terminals of any width, in which no text is cut."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

GAP: Final = "  "
INDENT: Final = "    "
MIN_LAST_WIDTH: Final = 24  # narrower, a text is better read below its row


class TableLine(NamedTuple):
    """Line of a table, with the number of its row, from 0; None for the header."""

    row: int | None
    text: str


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Iterator[TableLine]:
    """Yield the table's lines, no longer than `width` unless the first column is.

    The last column is wrapped. Where the columns do not fit, the last of them stand below each row, as
    `column value`, if they have a text.
    """
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    count = _fitting(widths, width)
    hanging = " " * sum(w + len(GAP) for w in widths[: count - 1])
    for number, cells in enumerate((columns, *rows)):
        row = number - 1 if number else None
        beside = list(cells[:count])
        below = [f"{c} {v}" for c, v in zip(columns[count:], cells[count:], strict=True) if v]
        texts = [beside.pop()]
        if count == len(columns) > 1:
            texts = _wrapped(texts[0], width - len(hanging))
        padded = "".join(
            v + " " * (w - cell_len(v)) + GAP for v, w in zip(beside, widths, strict=False)
        )
        yield TableLine(row, (padded + texts[0]).rstrip())
        for text in texts[1:]:
            yield TableLine(row, hanging + text)
        if row is not None:
            for text in _packed(below, width - len(INDENT)):
                yield TableLine(row, INDENT + text)


def _fitting(widths: Sequence[int], width: int) -> int:
    """Return how many of the columns fit beside each other, at least one."""
    used, count = widths[0], 1
    for column, needed in enumerate(widths[1:], 2):
        last = column == len(widths)
        used += len(GAP) + (min(needed, MIN_LAST_WIDTH) if last else needed)
        if used > width:
            break
        count = column
    return count


def _packed(texts: Sequence[str], width: int) -> list[str]:
    """Return lines of whole texts, as many in each as fit. A text that is too long is wrapped."""
    lines: list[str] = []
    for text in texts:
        if lines and cell_len(lines[-1]) + len(GAP) + cell_len(text) <= width:
            lines[-1] += GAP + text
        else:
            lines.extend(_wrapped(text, width))
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 10), break_on_hyphens=False) or [""]
