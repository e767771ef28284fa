"""Errors of a data folder and its servers, each with a one-line text for the operator."""

from pathlib import Path

from engine.common.errors import WaypostError


class EmbeddedError(WaypostError):
    """The error of a folder or server that cannot be used, with the reason and the server's last log lines."""


class FolderInUseError(WaypostError):
    """The error of a folder that another process has locked. `pid` is that process, None if unknown."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"the data folder {folder} is in use by {holder}")
        self.folder = folder
        self.pid = pid


def one_line(error: OSError) -> str:
    """Return the system's error text, without the number and the path."""
    return (error.strerror or str(error)).lower()
