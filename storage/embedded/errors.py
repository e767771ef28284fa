"""What can go wrong with a data folder and its servers, each in one line for a person."""

from pathlib import Path

from engine.common.errors import WaypostError


class EmbeddedError(WaypostError):
    """The folder or a server in it can't be used. Says why, with the server's last words."""


class FolderInUseError(WaypostError):
    """Another run holds the folder. `pid` is its process, or None when that can't be told."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"the data folder {folder} is in use by {holder}")
        self.folder = folder
        self.pid = pid


def one_line(error: OSError) -> str:
    """The system's own words, without the number and the path."""
    return (error.strerror or str(error)).lower()
