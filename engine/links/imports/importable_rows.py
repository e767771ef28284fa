"""Rows of a file, each with the other line that has its address, if there is one, or why it is rejected.

The file is read twice. The first time keeps the line of each address, about 100 bytes for each.
"""

from collections.abc import Iterator

from engine.common.errors import FieldError, InvalidError
from engine.links.imports.link_file import LinkFile
from engine.links.imports.row_error import RowError, RowReject
from engine.links.imports.rows import RowReader
from engine.links.ports import ImportRow


class ImportableRows:
    """Iterable over a file's rows. Raises InvalidError for a file of more than `max_rows`, if that is not 0.

    `total` is the number of rows, once the first was read.
    """

    def __init__(self, source: LinkFile, reader: RowReader, max_rows: int = 0) -> None:
        self._source = source
        self._reader = reader
        self._max_rows = max_rows
        self.total = 0

    def __iter__(self) -> Iterator[ImportRow | RowReject]:
        """Yield the rows in the file's order."""
        repeated = self._repeated_lines()
        for record in self._source.records():
            try:
                if record.error:
                    raise RowError(record.error)
                row = self._reader.row(record.line, record.values)
            except RowError as error:
                yield RowReject(record.line, str(error))
                continue
            first, second = repeated.get(hash((row.handle, row.slug)), (0, 0))
            yield row._replace(other_line=second if row.line == first else first)

    def _repeated_lines(self) -> dict[int, tuple[int, int]]:
        """Return the first two lines of each address that more than one has, by the hash of the address."""
        lines: dict[int, int] = {}
        repeated: dict[int, tuple[int, int]] = {}
        self.total = 0
        for record in self._source.records():
            self.total += 1
            if self._max_rows and self.total > self._max_rows:
                reason = f"must have at most {self._max_rows:,} rows; send it in parts"
                raise InvalidError([FieldError("body", reason)])
            if record.error:
                continue
            address = hash(self._reader.address(record.values))
            first = lines.setdefault(address, record.line)
            if first != record.line and address not in repeated:
                repeated[address] = (first, record.line)
        return repeated
