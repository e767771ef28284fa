"""Text files of unknown encoding, read line by line with a bound.

A byte-order mark decides. Without one, a file with NUL bytes at every second place is UTF-16. A file that has
more bytes that UTF-8 cannot have than characters of several bytes in UTF-8 is Windows-1252, as spreadsheets
write it.
"""

import codecs
import io
import re
from collections.abc import Generator
from typing import BinaryIO, Final

MAX_LINE_CHARS: Final = 256 * 1024
_CHUNK: Final = 1024 * 1024
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MULTIBYTE: Final = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_HIGH: Final = re.compile(rb"[\x80-\xff]")

Line = tuple[int, str | None]


def encoding_of(file: BinaryIO) -> str:
    """Return the name of the file's encoding. Reads it whole, and goes back to its start."""
    file.seek(0)
    head = file.read(4096)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            file.seek(0)
            return encoding
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) // 5:
        file.seek(0)
        return "utf-16-be" if even > odd else "utf-16-le"
    valid = invalid = 0
    file.seek(0)
    while chunk := file.read(_CHUNK):
        if not chunk.isascii():
            rest, count = _MULTIBYTE.subn(b"", chunk)
            valid += count
            invalid += len(_HIGH.findall(rest))
    file.seek(0)
    return "cp1252" if invalid > valid else "utf-8"


def text_lines(file: BinaryIO, encoding: str) -> Generator[Line, None, None]:
    """Yield (number, line with its end) from the start of the file: LF, CR and CR LF end lines.

    The text is None for a line of more than MAX_LINE_CHARS characters. What the encoding does not have becomes
    a lone surrogate, and U+FFFD in UTF-16.
    """
    file.seek(0)
    errors = "replace" if encoding.startswith("utf-16") else "surrogateescape"
    text = io.TextIOWrapper(file, encoding, errors, newline="")
    try:
        number = 0
        while line := text.readline(MAX_LINE_CHARS + 2):
            number += 1
            if len(line) <= MAX_LINE_CHARS or line.endswith(("\n", "\r")):
                yield number, line
                continue
            while line and not line.endswith(("\n", "\r")):
                line = text.readline(MAX_LINE_CHARS)
            yield number, None
    finally:
        if not file.closed:
            text.detach()
