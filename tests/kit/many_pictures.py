"""Decoding of many files in one confined process, as the process of an upload does it: for tests of thousands.

`python -m tests.kit.many_pictures TASK` reads files, each behind its length, and writes for each a line with
the result, the seconds that it took, and whether its renditions can be opened.
"""

import io
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from PIL import Image

from storage.assets.confinement import Limits, confine
from storage.assets.decoder import environment, task
from storage.assets.picture_worker import Task, decoded, prepare

_LENGTH: Final = struct.Struct("<I")
_CPU_S: Final = 600


class DecodedFile(msgspec.Struct, frozen=True):
    """What became of a file; `result` is `died` when its process did."""

    result: str
    reason: str = ""
    took_s: float = 0.0
    is_whole: bool = True


class ManyPictures:
    """A process that decodes one file after the other; another one takes its place if it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def decode(self, content: bytes) -> DecodedFile:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(_LENGTH.pack(len(content)) + content)
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            process.communicate()
            self._process = None
            return DecodedFile("died", str(process.returncode))
        return msgspec.json.decode(line, type=DecodedFile)

    def peak_kib(self) -> int:
        """Return the most memory that the process has had so far."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", "tests.kit.many_pictures", task()]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        )


def main() -> None:
    work, srgb = Task(**json.loads(sys.argv[1])), prepare()
    source, target = os.fdopen(0, "rb", closefd=False), os.fdopen(1, "wb", closefd=False)
    confine(Limits(work.memory_bytes, _CPU_S, work.file_bytes))
    while head := source.read(_LENGTH.size):
        content = source.read(_LENGTH.unpack(head)[0])
        started = time.monotonic()
        line, files = decoded(io.BytesIO(content), work, srgb)
        report: dict[str, Any] = {
            "result": line["result"],
            "reason": line.get("reason", ""),
            "took_s": time.monotonic() - started,
            "is_whole": _are_whole(line, files),
        }
        target.write(json.dumps(report).encode() + b"\n")
        target.flush()


def _are_whole(line: dict[str, Any], files: list[bytes]) -> bool:
    """Return whether each file is the picture that the line says, and none has any text of a script."""
    for rendition, file in zip(line.get("renditions", ()), files, strict=True):
        with Image.open(io.BytesIO(file)) as picture:
            if picture.size != (rendition["width"], rendition["height"]) or b"<script" in file:
                return False
    return True


if __name__ == "__main__":
    main()
