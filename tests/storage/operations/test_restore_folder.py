"""The folder of a restore: empty before, marked while it lasts, and as empty again if it fails."""

import io
from pathlib import Path
from uuid import UUID

import pytest

from engine.clicks.journal_format import MAX_FRAME_BYTES
from engine.operations.backup import BackupError, segment_stream
from storage.embedded import EmbeddedError, lock_folder
from storage.operations.backup_file import BackupReader, BackupWriter
from storage.operations.restore_folder import RestoreFolder
from tests.engine.operations.test_backup import manifest
from tests.storage.operations.test_backup_file import gzipped


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_only_an_empty_folder_is_taken(tmp_path: Path) -> None:
    folder = RestoreFolder(tmp_path / "data")
    folder.require_empty()
    (tmp_path / "data").mkdir()
    for ignored in ("lock", "owner.lock", "lost+found"):
        (tmp_path / "data" / ignored).mkdir()
    folder.require_empty()
    (tmp_path / "data" / "owner.json").touch()
    with pytest.raises(BackupError, match=r"is not empty \(it has owner.json\)"):
        folder.require_empty()


def segment_backup(content: bytes) -> tuple[BackupReader, str, Path]:
    """A backup of one segment. Returns it, the segment's stream, and its file's path in a data folder."""
    out, stream = io.BytesIO(), segment_stream(UUID(int=1), 5)
    writer = BackupWriter(out, 0)
    parts = writer.stream(stream)
    parts.write(gzipped(content))
    parts.close()
    writer.finish(manifest())
    backup = BackupReader(out)
    backup.verify()
    return backup, stream, Path("journals", UUID(int=1).hex, f"{5:020d}.segment")


def test_the_zeros_that_a_segment_is_allocated_with_are_put_back(tmp_path: Path) -> None:
    backup, stream, path = segment_backup(b"frames")
    RestoreFolder(tmp_path).write(backup, stream)
    assert (tmp_path / path).read_bytes() == b"frames" + bytes(MAX_FRAME_BYTES)
    modes = [
        part.stat().st_mode & 0o777 for part in (tmp_path / path, *(tmp_path / path).parents[:2])
    ]
    assert modes == [0o600, 0o700, 0o700]


def test_a_segment_without_an_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.operations.restore_folder.MAX_SEGMENT_BYTES", 1000)
    backup, stream, _ = segment_backup(bytes(1001))
    with pytest.raises(BackupError, match="larger than any segment"):
        RestoreFolder(tmp_path).write(backup, stream)


def test_a_marked_folder_is_for_restores_alone(tmp_path: Path) -> None:
    folder = RestoreFolder(tmp_path / "data")
    with lock_folder(tmp_path / "data"):
        folder.begin("backup")
    for half in ("postgres", "valkey", "logs", "run", "journals"):
        (tmp_path / "data" / half / "x").mkdir(parents=True)
    (tmp_path / "data" / "owner.json").touch()
    with pytest.raises(EmbeddedError, match="unfinished restore: run `waypost restore` again"):
        lock_folder(tmp_path / "data")
    folder.require_empty()
    assert folder.marked() == "backup"
    with lock_folder(tmp_path / "data", for_restore=True):
        folder.begin("another")
    assert names(tmp_path / "data") == {"lock", "restore.unfinished"}
    folder.finish()
    assert (folder.marked(), names(tmp_path / "data")) == ("", {"lock"})
    lock_folder(tmp_path / "data").close()
