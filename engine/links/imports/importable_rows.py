"""Valid rows of a file, each with the other line that has its address, if there is one.

The file is read twice. The first time keeps the line of each address, about 100 bytes for each.
"""

from collections.abc import Callable, Iterator

from engine.links.imports.link_file import LinkFile
from engine.links.imports.row_error import RowError
from engine.links.imports.rows import RowReader
from engine.links.ports import ImportRow

Reject = Callable[[int, str], None]


def importable_rows(source: LinkFile, reader: RowReader, reject: Reject) -> Iterator[ImportRow]:
    """Yield the valid rows in the file's order. The others go to `reject`, with line and reason."""
    repeated = _repeated_lines(source, reader)
    for record in source.records():
        try:
            if record.error:
                raise RowError(record.error)
            row = reader.row(record.line, record.values)
        except RowError as error:
            reject(record.line, str(error))
            continue
        first, second = repeated.get(hash((row.handle, row.slug)), (0, 0))
        yield row._replace(other_line=second if row.line == first else first)


def _repeated_lines(source: LinkFile, reader: RowReader) -> dict[int, tuple[int, int]]:
    """Return the first two lines of each address that more than one has, by the hash of the address."""
    lines: dict[int, int] = {}
    repeated: dict[int, tuple[int, int]] = {}
    for record in source.records():
        if record.error:
            continue
        address = hash(reader.address(record.values))
        first = lines.setdefault(address, record.line)
        if first != record.line and address not in repeated:
            repeated[address] = (first, record.line)
    return repeated
