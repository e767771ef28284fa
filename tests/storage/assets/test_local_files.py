"""The store of assets' files: one contract for a folder, for memory, and for each object store."""

import errno
from pathlib import Path

import pytest

from engine.assets.ports import AssetFiles
from engine.common.errors import UnavailableError
from storage.assets.local_files import LocalAssetFiles
from storage.assets.memory_files import MemoryAssetFiles
from storage.assets.object_store import ObjectAssetFiles

HASH, OTHER = "ab" + "0" * 30, "ab" + "1" * 30
FILES = {"320.avif": b"small", "640.avif": bytes(range(256)) * 1000, "main.jpg": b""}


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(params=["memory", "folder", pytest.param("s3", marks=pytest.mark.slow)])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> AssetFiles:
    if request.param == "s3":
        return ObjectAssetFiles(request.getfixturevalue("bucket"))
    return MemoryAssetFiles() if request.param == "memory" else LocalAssetFiles(tmp_path / "assets")


async def test_files_are_written_read_and_deleted(files: AssetFiles) -> None:
    assert await files.read(HASH, "320.avif") is None
    await files.write(HASH, FILES)
    await files.write(OTHER, {"320.avif": b"other"})
    for name, content in FILES.items():
        assert await files.read(HASH, name) == content
    assert await files.read(HASH, "1040.avif") is None
    await files.delete(HASH)
    for name in FILES:
        assert await files.read(HASH, name) is None
    assert await files.read(OTHER, "320.avif") == b"other"
    await files.delete(HASH)


async def test_files_may_be_written_again_and_added(files: AssetFiles) -> None:
    await files.write(HASH, {"320.avif": b"small"})
    await files.write(HASH, FILES)
    assert await files.read(HASH, "640.avif") == FILES["640.avif"]
    assert await files.read(HASH, "320.avif") == b"small"


# ---- the folder ----------------------------------------------------------------------------------


async def test_a_deleted_picture_leaves_no_byte_in_the_folder(tmp_path: Path) -> None:
    files = LocalAssetFiles(tmp_path)
    await files.write(HASH, FILES)
    # As a crash leaves it: a file that did not get its name.
    (tmp_path / HASH[:2] / HASH / ".320.avif.1234").write_bytes(b"half")
    await files.delete(HASH)
    assert left_in(tmp_path) == []


async def test_a_full_disk_is_unavailable_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LocalAssetFiles(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UnavailableError, match="No space left"):
        await files.write(HASH, FILES)
    assert left_in(tmp_path) == []
    assert await files.read(HASH, "320.avif") is None


async def test_other_users_of_the_machine_cannot_read_the_folder(tmp_path: Path) -> None:
    await LocalAssetFiles(tmp_path / "assets").write(HASH, FILES)
    assert (tmp_path / "assets" / HASH[:2] / HASH).stat().st_mode & 0o077 == 0
