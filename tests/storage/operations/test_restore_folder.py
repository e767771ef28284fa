"""The folder of a restore: empty before, marked while it lasts, and as empty again if it fails."""

from pathlib import Path

import pytest

from engine.operations.backup import BackupError
from storage.embedded import EmbeddedError, lock_folder
from storage.operations.restore_folder import RestoreFolder


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
