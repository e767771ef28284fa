"""The blocklist's file: read again when it changes, kept when it cannot be read."""

import logging
from pathlib import Path

import pytest

import storage.links.abuse.blocklist_file as module
from storage.links.abuse.blocklist_file import BlocklistFile


def values(blocklist: BlocklistFile) -> list[float]:
    return [sample.value for sample in blocklist.samples()]


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("bad.example\nno entry\n")
    blocklist = BlocklistFile(str(path))
    await blocklist.refresh()
    assert values(blocklist) == [1, 0]
    first = blocklist.current
    await blocklist.refresh()
    assert blocklist.current is first  # unchanged: not read again
    path.write_text("bad.example\nworse.example\n")
    await blocklist.refresh()
    assert values(blocklist) == [1, 0]
    assert blocklist.current.hosts == {"bad.example", "worse.example"}


async def test_an_unreadable_file_leaves_the_list_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_text("bad.example\n")
    blocklist = BlocklistFile(str(path))
    await blocklist.refresh()
    path.unlink()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await blocklist.refresh()
    assert len(caplog.records) == 1
    assert values(blocklist) == [0, 1]
    assert blocklist.current.hosts == {"bad.example"}
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 5)
    path.write_text("worse.example\n")
    await blocklist.refresh()
    assert blocklist.current.hosts == {"bad.example"}
    monkeypatch.undo()
    await blocklist.refresh()
    assert blocklist.current.hosts == {"worse.example"}


async def test_no_file_blocks_nothing() -> None:
    blocklist = BlocklistFile("")
    await blocklist.refresh()
    assert values(blocklist) == [0, 0]
