"""Files of assets in a local folder: `ab/abcdef…/640.avif` for the hash that begins with `ab`.

A file is written beside its place, synced, and renamed, so it is whole or not there; what a crash leaves beside
it goes with the hash's folder. All calls of the disk run in threads.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from engine.common.errors import UnavailableError

T = TypeVar("T")
_THREADS: Final = 4


class LocalAssetFiles:
    """`AssetFiles` in `folder`, which is made with the first file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = trio.CapacityLimiter(_THREADS)

    async def write(self, hash_: str, files: Mapping[str, bytes]) -> None:
        await self._run(partial(self._write, hash_, dict(files)))

    async def read(self, hash_: str, name: str) -> bytes | None:
        return await self._run(partial(self._read, hash_, name))

    async def delete(self, hash_: str) -> None:
        await self._run(partial(self._delete, hash_))

    def _folder_of(self, hash_: str) -> Path:
        return self._folder / hash_[:2] / hash_

    def _write(self, hash_: str, files: dict[str, bytes]) -> None:
        folder = self._folder_of(hash_)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in files.items():
            unfinished = folder / f".{name}.{secrets.token_hex(4)}"
            try:
                with unfinished.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(folder / name)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
        for parent in (folder, folder.parent, self._folder):
            _sync_folder(parent)

    async def read_all(self, hash_: str) -> dict[str, bytes]:
        """Return all whole files of a hash by name; none if there are none."""
        return await self._run(partial(self._read_all, hash_))

    def _read_all(self, hash_: str) -> dict[str, bytes]:
        folder = self._folder_of(hash_)
        if not folder.is_dir():
            return {}
        whole = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        return {path.name: path.read_bytes() for path in whole}

    def _read(self, hash_: str, name: str) -> bytes | None:
        try:
            return (self._folder_of(hash_) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _delete(self, hash_: str) -> None:
        folder = self._folder_of(hash_)
        if folder.is_dir():
            shutil.rmtree(folder)
            _sync_folder(folder.parent)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await trio.to_thread.run_sync(work, limiter=self._threads)
        except OSError as error:
            raise UnavailableError(f"the folder of assets: {error.strerror}") from error


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
