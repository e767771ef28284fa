"""Files of links as tests write them, and what an import reads in them."""

import io
from collections.abc import Mapping

from engine.links.imports.importable_rows import ImportableRows
from engine.links.imports.link_file import LinkFile
from engine.links.imports.row_error import RowReject
from engine.links.imports.rows import RowReader
from engine.links.ports import ImportRow


def link_file(
    text: str | bytes, handle: str = "", columns: Mapping[str, str] | None = None
) -> LinkFile:
    data = text.encode() if isinstance(text, str) else text
    return LinkFile(io.BytesIO(data), columns, handle)


def outcomes(
    text: str | bytes, handle: str = "", columns: Mapping[str, str] | None = None
) -> tuple[list[ImportRow], dict[int, str]]:
    """Return the rows of a file, and the reasons of the rejected ones by line."""
    source = link_file(text, handle, columns)
    reader = RowReader(handle, private_hosts=False, tag_separators=source.tag_separators)
    rows = list(ImportableRows(source, reader))
    rejects = {row.line: row.reason for row in rows if isinstance(row, RowReject)}
    return [row for row in rows if isinstance(row, ImportRow)], rejects
