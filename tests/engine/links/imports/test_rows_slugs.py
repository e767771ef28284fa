"""Slugs of a file's rows: case counts for the profiles that have a case-sensitive domain."""

import io

import pytest

from engine.links.imports.importable_rows import ImportableRows
from engine.links.imports.link_file import LinkFile
from engine.links.imports.rows import RowReader
from engine.links.ports import ImportRow

FILE = b"""handle,slug,target
ada,Spring,https://a.example/
ada,spring,https://b.example/
bob,Spring,https://a.example/
bob,spring,https://b.example/
ada,Docs/v1.2,https://c.example/
ada,a..b.,https://d.example/
"""


@pytest.mark.parametrize(
    ("case_sensitive", "others", "slugs"),
    [
        (frozenset[str](), [3, 2, 5, 4, 0], ["spring", "spring", "spring", "spring", "docs/v1.2"]),
        (
            frozenset({"ada"}),
            [0, 0, 5, 4, 0],
            ["Spring", "spring", "spring", "spring", "Docs/v1.2"],
        ),
    ],
)
def test_rows_of_one_slug_name_each_other(
    case_sensitive: frozenset[str], others: list[int], slugs: list[str]
) -> None:
    reader = RowReader("", private_hosts=False, case_sensitive=case_sensitive)
    rows = list(ImportableRows(LinkFile(io.BytesIO(FILE), {}, ""), reader))
    links = [row for row in rows if isinstance(row, ImportRow)]
    assert [row.slug for row in links] == slugs
    assert [row.other_line for row in links] == others
    (reject,) = (row for row in rows if not isinstance(row, ImportRow))
    assert reject.line == 7
    assert "'.'" in reject.reason
