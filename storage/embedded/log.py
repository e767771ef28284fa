"""Log of a server: its standard output and error, in a file of bounded size."""

import os
import shutil
from pathlib import Path

MAX_BYTES = 8 * 1024 * 1024
_TAIL_BYTES = 4096


class ServerLog:
    """A log file, and its predecessor with `.1` at its end. The server appends, bound() cuts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def open(self) -> int:
        """Return a descriptor for a server to append to. The calling code closes it."""
        self.bound()
        descriptor = os.open(
            self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        self._start = os.fstat(descriptor).st_size
        return descriptor

    def bound(self) -> None:
        """Move the text to the predecessor once it exceeds `MAX_BYTES`. Lines written in between are lost: the
        server keeps its descriptor, so the file can only be copied and cut."""
        try:
            if self.path.stat().st_size > MAX_BYTES:
                shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
                os.truncate(self.path, 0)
                self._start = 0
        except OSError:
            # A full disk must not end a run over its log; the next call tries again.
            pass

    def last_text(self) -> str:
        """Return the last 4 KiB since `open`; empty if they cannot be read."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._start, size - _TAIL_BYTES))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def last_words(self) -> str:
        """Return the last lines since `open` as one line: from the last fatal one on, if there is one."""
        lines = [line.strip() for line in self.last_text().splitlines() if line.strip()]
        fatal = [i for i, line in enumerate(lines) if "FATAL" in line or "PANIC" in line]
        return " | ".join(lines[fatal[-1] :][:3] if fatal else lines[-2:])
