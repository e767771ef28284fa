"""Files that are removed later: their names go at once, their space soon."""

import os
import time
from pathlib import Path

import pytest

from storage.file_release import FileReleaser
from storage.file_system import DiskFileSystem

LIMIT_S = 10.0


def wait_closed(releaser: FileReleaser) -> None:
    until = time.monotonic() + LIMIT_S
    while releaser.waiting or releaser._closing:
        assert time.monotonic() < until
        os.sched_yield()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_loses_its_name_at_once_and_its_space_in_a_thread(tmp_path: Path) -> None:
    files = DiskFileSystem()
    before = open_files()
    paths = [tmp_path / f"{number}" for number in range(20)]
    for path in paths:
        files.close(files.create(path, 4096))
    for path in paths:
        files.remove_later(path)
        assert not path.exists()
    wait_closed(files._releaser)
    assert open_files() == before


def test_the_callers_thread_does_not_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last close of a file is what takes time."""
    files, closed = DiskFileSystem(), list[int]()
    files.close(files.create(tmp_path / "file", 4096))
    monkeypatch.setattr(files._releaser, "close", closed.append)
    files.remove_later(tmp_path / "file")
    (descriptor,) = closed
    assert os.fstat(descriptor).st_nlink == 0
    os.close(descriptor)


def test_without_a_file_or_a_descriptor_it_is_removed_as_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DiskFileSystem()
    files.remove_later(tmp_path / "none")
    files.close(files.create(tmp_path / "file", 4096))

    def exhausted(path: Path) -> int:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(files, "open", exhausted)
    files.remove_later(tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_name_that_cannot_be_removed_keeps_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DiskFileSystem()
    files.close(files.create(tmp_path / "file", 4096))
    before = open_files()

    def refused(path: Path) -> None:
        raise PermissionError(str(path))

    monkeypatch.setattr(files, "remove", refused)
    with pytest.raises(PermissionError):
        files.remove_later(tmp_path / "file")
    wait_closed(files._releaser)
    assert open_files() == before


def test_a_descriptor_that_is_not_open_does_not_end_the_thread() -> None:
    releaser = FileReleaser()
    before = open_files()
    for descriptor in (1_000_000, os.open("/dev/null", os.O_RDONLY)):
        releaser.close(descriptor)
    wait_closed(releaser)
    assert open_files() == before
