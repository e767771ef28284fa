"""Paths that cannot be meant, for every command that takes one: one line, and nothing is written."""

import os
from pathlib import Path

import pytest

from tests.kit.commands import CommandLine

FOLDER_COMMANDS = [
    ("up",), ("serve",), ("migrate",), ("import", "links.csv"), ("archive", "ada", "out"),
    ("backup", "out"), ("restore", "links.csv"), ("erase", "ada", "--yes"), ("reclassify",),
    ("rebuild", "--day", "2026-01-01"), ("doctor",), ("doctor", "--audit"), ("jobs",),
    ("jobs", "list"), ("jobs", "show", "1"), ("jobs", "retry", "1"), ("jobs", "cancel", "1"),
    ("top", "--once"),
]  # fmt: skip
WRITING = [("backup",), ("backup", "--force"), ("archive", "ada")]
READING = [("import",), ("restore",)]
LONG = "x" * 300


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "links.csv").write_text("handle,slug,target\n")
    (tmp_path / "folder").mkdir()


@pytest.mark.parametrize("command", FOLDER_COMMANDS, ids=" ".join)
def test_a_folder_that_cannot_be_one_is_refused(
    waypost: CommandLine, command: tuple[str, ...]
) -> None:
    # A folder below one that this user may not enter fails like the long name: in stat().
    for folder, reason in (("links.csv", "no folder"), (LONG, "too long"), ("", "have a name")):
        assert reason in waypost.refusal(*command, "--data", folder)


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_file_that_cannot_be_written_is_refused(
    waypost: CommandLine, command: tuple[str, ...]
) -> None:
    for file, reason in (("folder", "a folder"), (LONG, "too long"), ("", "have a name")):
        assert reason in waypost.refusal(*command, file)


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_device_is_not_replaced(
    waypost: CommandLine, command: tuple[str, ...], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "is no regular file" in waypost.refusal(*command, str(pipe))
    assert pipe.is_fifo()


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_file_that_cannot_be_read_is_refused(
    waypost: CommandLine, command: tuple[str, ...]
) -> None:
    for file, reason in (
        ("folder", "is a folder"),
        (LONG, "too long"),
        ("", "have a name"),
        ("missing", "cannot be read: No such file"),
        ("links.csv/below", "cannot be read: Not a directory"),
    ):
        assert reason in waypost.refusal(*command, file)
