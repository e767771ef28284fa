"""The log of an embedded server."""

import os
from pathlib import Path

import pytest

from storage.embedded import log as log_module
from storage.embedded.log import ServerLog


def test_log_is_bounded_and_keeps_the_log_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "MAX_BYTES", 10)
    log = ServerLog(tmp_path / "postgres.log")
    descriptor = log.open()
    os.write(descriptor, b"more than ten bytes\n")
    log.bound()
    os.write(descriptor, b"FATAL: new\n")
    os.close(descriptor)
    assert (tmp_path / "postgres.log").read_text() == "FATAL: new\n"
    assert (tmp_path / "postgres.log.1").read_text() == "more than ten bytes\n"
    assert log.last_words() == "FATAL: new"


def test_last_lines_are_of_this_start(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "postgres.log")
    (tmp_path / "postgres.log").write_text("FATAL: of yesterday\n")
    descriptor = log.open()
    assert log.last_words() == ""
    os.write(descriptor, b"starting\nFATAL:  no\nHINT:  try\n\n")
    os.close(descriptor)
    assert log.last_words() == "FATAL:  no | HINT:  try"
