"""Paths on the command line: what cannot be meant is refused before anything is read or written."""

import os
import stat
from pathlib import Path

import click


class FolderPath(click.Path):
    """A folder, which may be missing."""

    noun = "folder"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """Return the path. Fails for an empty one, one that cannot be looked at, and another thing there."""
        if not str(value):
            self.fail(f"a {self.noun} must have a name", param, ctx)
        path = Path(value)
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return path  # The command says what it misses.
        except OSError as error:
            self.fail(f"{path} cannot be used: {error.strerror}", param, ctx)
        if reason := self.refuse(path, mode):
            self.fail(f"{path} {reason}", param, ctx)
        return path

    def refuse(self, path: Path, mode: int) -> str:
        """Return why what is at the path, with this mode, is not right; empty if it is."""
        return "" if stat.S_ISDIR(mode) else "is no folder"


class InputFile(FolderPath):
    """A file to read, or a device."""

    noun = "file"

    def refuse(self, path: Path, mode: int) -> str:
        return "is a folder" if stat.S_ISDIR(mode) else ""


class OutputFile(FolderPath):
    """A file to write: the whole file takes its place at the end, so that it must be no device."""

    noun = "file"

    def refuse(self, path: Path, mode: int) -> str:
        if stat.S_ISDIR(mode):
            return "is a folder: name a file"
        return "" if stat.S_ISREG(mode) else "is no regular file"
