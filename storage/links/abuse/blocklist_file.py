"""The operator's blocklist: a file that is read again when it changes."""

import logging
import os
from pathlib import Path
from typing import Final

import trio

from engine.links.targets.blocklist import NO_BLOCKLIST, Blocklist, parse_blocklist
from engine.operations.metrics import Metric, Sample

logger = logging.getLogger("waypost.blocklist")

MAX_FILE_BYTES: Final = 64 * 1024**2
REFRESH_S: Final = 10.0

IGNORED: Final = Metric(
    "waypost_blocklist_ignored_lines_total",
    "Lines of the blocklists that were read that are neither a host nor a hash",
)
REFUSED: Final = Metric(
    "waypost_blocklist_refused_total",
    "Blocklist files that could not be read; the one before stays in use",
)


class BlocklistFile:
    """The blocklist in `current`. With an empty path it stays empty."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity: tuple[int, int, int] | None = None
        self._is_broken = False
        self._refused = 0
        self._ignored = 0
        self.current = NO_BLOCKLIST

    async def refresh(self) -> None:
        """Read the file if it has changed. One that cannot be read is logged once and leaves the list as it
        is."""
        if not self._path:
            return
        try:
            status = await trio.to_thread.run_sync(os.stat, self._path)
            identity = status.st_ino, status.st_size, status.st_mtime_ns
            if identity == self._identity:
                return
            self.current = await trio.to_thread.run_sync(_read, Path(self._path))
        except OSError as error:
            self._refuse(error.strerror or str(error))
            return
        self._identity, self._is_broken = identity, False
        self._ignored += self.current.ignored
        logger.info(
            "the blocklist %s is in use: %d entries, %d lines ignored",
            self._path, self.current.entries, self.current.ignored, extra={"event": "blocklist_loaded"},
        )  # fmt: skip

    def _refuse(self, reason: str) -> None:
        if not self._is_broken:
            logger.error(
                "the blocklist %s cannot be read (%s); %d entries stay in use",
                self._path, reason, self.current.entries,
                extra={"event": "blocklist_refused"},
            )  # fmt: skip
            self._refused += 1
        self._is_broken = True

    def samples(self) -> list[Sample]:
        return [IGNORED.sample(self._ignored), REFUSED.sample(self._refused)]


def _read(path: Path) -> Blocklist:
    """Return the list in a file. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise OSError(f"it has more than {MAX_FILE_BYTES // 1024**2} MiB")
    try:
        return parse_blocklist(data.decode("utf-8", "replace").splitlines())
    except ValueError as error:
        raise OSError(str(error)) from error
