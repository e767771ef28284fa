"""Results file: a line of JSON for each result, appended under a lock."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.kit.errors import BenchError
from bench.suite.result import SCHEMA_VERSION, BenchResult

MAX_BYTES: Final = 67_108_864
MAX_LINE_BYTES: Final = 8_388_608
_DECODER: Final = msgspec.json.Decoder(BenchResult)


def read_results(path: Path) -> list[BenchResult]:
    """Return the results of a file, in their order.

    Raises BenchError for a file that cannot be read, is empty or larger than MAX_BYTES, or has a line that is
    no result of this schema version.
    """
    results = list(_parse(path, _read(path)))
    if not results:
        raise BenchError(f"{path} has no results")
    return results


def read_finished(path: Path) -> list[BenchResult]:
    """Return the results of a file that may be missing or empty, without a last line that was cut off.

    Raises BenchError as read_results() does.
    """
    if not path.exists():
        return []
    data = _read(path)
    return list(_parse(path, data[: _whole(data)]))


def append_result(path: Path, result: BenchResult) -> None:
    """Append a result as one line, on disk when this returns. Raises BenchError."""
    line = msgspec.json.encode(result) + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise BenchError(f"a result of {result.benchmark} has more than {MAX_LINE_BYTES:,} bytes")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _end_last_line(descriptor)
            size = os.fstat(descriptor).st_size
            if size + len(line) > MAX_BYTES:
                raise BenchError(
                    f"{path} would have more than {MAX_BYTES:,} bytes; name another file"
                )
            _write(descriptor, line, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise BenchError(f"{path} has more than {MAX_BYTES:,} bytes")
    return data


def _parse(path: Path, data: bytes) -> Iterator[BenchResult]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield _result(f"{path}, line {number}", line)


def _result(place: str, line: bytes) -> BenchResult:
    """Return the result of a line. Raises BenchError."""
    if len(line) > MAX_LINE_BYTES:
        raise BenchError(f"{place} has more than {MAX_LINE_BYTES:,} bytes")
    version = _version(place, line)
    if version != SCHEMA_VERSION:
        raise BenchError(
            f"{place} has schema version {version!r:.40}; this program reads {SCHEMA_VERSION}"
        )
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BenchError(f"{place} is no result of a benchmark: {error}") from None


def _version(place: str, line: bytes) -> Any:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BenchError(f"{place} is no JSON: {error}") from None
    if not isinstance(value, dict) or "schema" not in value:
        raise BenchError(f"{place} is no result of a benchmark: it has no `schema`")
    return value["schema"]


def _end_last_line(descriptor: int) -> None:
    """End the last line, or cut off what a writer that was killed left of it."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, MAX_LINE_BYTES, max(0, size - MAX_LINE_BYTES))
    whole = _whole(tail)
    if whole < len(tail):
        os.ftruncate(descriptor, size - len(tail) + whole)
    elif tail and not tail.endswith(b"\n"):
        os.write(descriptor, b"\n")


def _whole(data: bytes) -> int:
    """Return the length of the lines that are whole: the last one may lack its end, if it is JSON."""
    start = data.rfind(b"\n") + 1
    try:
        msgspec.json.decode(data[start:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return start
    return len(data)


def _write(descriptor: int, line: bytes, size: int) -> None:
    """Write a whole line or none of it."""
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(0, "the disk is full")
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
