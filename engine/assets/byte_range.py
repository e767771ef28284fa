"""Ranges of bytes that a client asks for of a file (RFC 9110 14): one range, of a whole file in memory."""

import re
from typing import Final, NamedTuple

_RANGE: Final = re.compile(rb"bytes=[ \t]*([0-9]{0,15})-([0-9]{0,15})[ \t]*", re.IGNORECASE)


class ByteRange(NamedTuple):
    """The bytes from `start` to just before `end`."""

    start: int
    end: int


class UnsatisfiableRangeError(ValueError):
    """A range that begins behind the end of the file."""


def byte_range(value: bytes, size: int) -> ByteRange | None:
    """Return the range that a value of Range names of a file of `size` bytes; None: send the whole file, as
    there is no range, several, or none that is well-formed.

    Raises UnsatisfiableRangeError.
    """
    match = _RANGE.fullmatch(value)
    if match is None:
        return None
    first, last = match[1], match[2]
    if not first:
        if not last:
            return None
        if not int(last) or not size:
            raise UnsatisfiableRangeError
        return ByteRange(max(0, size - int(last)), size)
    start, end = int(first), int(last) + 1 if last else size
    if end <= start and last:
        return None
    if start >= size:
        raise UnsatisfiableRangeError
    return ByteRange(start, min(end, size))
