"""Decoder of uploads: a process for each of them, which is confined and may die.

Guarantees:

- whatever an upload does to its process, the answer comes within TIME_LIMIT_S of its start, and this process
  keeps no more of it than the renditions' bytes, which the kernel bounds (RLIMIT_FSIZE);
- what the process says is checked as if a stranger had sent it.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import trio

from engine.assets.asset import (
    FORMATS,
    MAX_PIXELS,
    MAX_RATIO,
    MAX_RENDITION_BYTES,
    WIDTHS,
    Picture,
    Rendition,
    SourceFormat,
)
from engine.common.errors import FieldError, InvalidError, UnavailableError
from engine.operations.metrics import Metric, Sample

TIME_LIMIT_S: Final = 25.0
CPU_LIMIT_S: Final = 8
MEMORY_BYTES: Final = 1536 * 1024**2
OUTPUT_BYTES: Final = 16 * 1024**2
FIELD: Final = "body"
MAX_REASON_CHARS: Final = 200
_MAX_LINE_BYTES: Final = 16 * 1024
_ROOT: Final = Path(__file__).parents[2]
_COMMAND: Final = (sys.executable, "-P", "-m", "storage.assets.picture_worker")
_CPU_SIGNALS: Final = (-24, -9)  # SIGXCPU, and SIGKILL at the hard limit

DECODED: Final = Metric(
    "waypost_pictures_decoded_total",
    "Uploads by result (decoded, refused, died: as their process did, exhausted: memory or CPU time, late)",
    ("result",),
)


class _Refused(msgspec.Struct, frozen=True, tag_field="result", tag="refused"):
    reason: str


class _Exhausted(msgspec.Struct, frozen=True, tag_field="result", tag="exhausted"):
    reason: str


class _Decoded(msgspec.Struct, frozen=True, kw_only=True, tag_field="result", tag="decoded"):
    source: SourceFormat
    width: int
    height: int
    renditions: tuple[Rendition, ...]


class ProcessPictureDecoder:
    """`PictureDecoder` with a process for each upload."""

    def __init__(
        self, command: Sequence[str] = _COMMAND, time_limit_s: float = TIME_LIMIT_S
    ) -> None:
        self._command = command
        self._time_limit_s = time_limit_s
        self.results = dict.fromkeys(("decoded", "refused", "died", "exhausted", "late"), 0)

    async def decode(self, upload: BinaryIO) -> Picture:
        # Not abandoned on cancellation: its process and its place in the queue end together.
        result, picture = await trio.to_thread.run_sync(self._decode, upload)
        self.results[result] += 1
        if isinstance(picture, Picture):
            return picture
        if result == "late":
            raise UnavailableError("the server is too busy to decode the picture; try again later")
        raise InvalidError([FieldError(FIELD, picture)])

    def _decode(self, upload: BinaryIO) -> tuple[str, Picture | str]:
        """Return the result, and the picture or the reason why there is none. Runs in a thread."""
        upload.seek(0)
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.run(  # noqa: S603  # our own command; the upload is its input
                    [*self._command, task()],
                    stdin=upload,
                    stdout=output,
                    stderr=subprocess.DEVNULL,
                    env=environment(),
                    timeout=self._time_limit_s,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return "late", ""
            if process.returncode in _CPU_SIGNALS:
                return "exhausted", "takes too much time to decode; export it again as JPEG or PNG"
            if process.returncode != 0:
                return "died", "cannot be decoded; export it again as JPEG or PNG"
            output.seek(0)
            return _read_output(output)

    def samples(self) -> list[Sample]:
        return DECODED.by_label(self.results)


def environment() -> dict[str, str]:
    """Return the environment of the process: nothing but where modules and their bytecode are."""
    kept = {name: value for name, value in os.environ.items() if name == "PYTHONPYCACHEPREFIX"}
    return kept | {"PYTHONPATH": str(_ROOT)}


def task() -> str:
    """Return the argument of the process: what to make, and its limits."""
    return msgspec.json.encode(
        {
            "widths": WIDTHS,
            "max_pixels": MAX_PIXELS,
            "max_ratio": MAX_RATIO,
            "memory_bytes": MEMORY_BYTES,
            "cpu_s": CPU_LIMIT_S,
            "file_bytes": OUTPUT_BYTES,
        }
    ).decode()


def _read_output(output: BinaryIO) -> tuple[str, Picture | str]:
    """Return what a process has written; as if it had died, where it is not as it must be."""
    died = "died", "cannot be decoded; export it again as JPEG or PNG"
    try:
        line = output.readline(_MAX_LINE_BYTES)
        said = msgspec.json.decode(line, type=_Decoded | _Refused | _Exhausted)
    except msgspec.DecodeError:
        return died
    if not isinstance(said, _Decoded):
        return said.__struct_config__.tag, said.reason[:MAX_REASON_CHARS]
    if not said.renditions or not all(_is_possible(rendition) for rendition in said.renditions):
        return died
    files = {rendition.name: output.read(rendition.bytes) for rendition in said.renditions}
    if any(len(files[rendition.name]) != rendition.bytes for rendition in said.renditions):
        return died
    return "decoded", Picture(
        source=said.source,
        width=said.width,
        height=said.height,
        renditions=said.renditions,
        files=files,
    )


def _is_possible(rendition: Rendition) -> bool:
    return (
        0 < rendition.width <= max(WIDTHS)
        and 0 < rendition.height <= max(WIDTHS) * MAX_RATIO
        and rendition.format in FORMATS
        and 0 < rendition.bytes <= MAX_RENDITION_BYTES
    )
