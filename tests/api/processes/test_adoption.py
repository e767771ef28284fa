"""Adoption of dead edges' journals: each once, not this edge's own, a bounded number."""

from pathlib import Path

import pytest

from api.processes import adoption
from api.processes.adoption import JournalAdoption
from tests.kit.recorded_journal import Recorder


def dead_journal(folder: Path) -> Path:
    """Leave the journal of an edge that has died, with a few clicks. Returns its folder."""
    recorder = Recorder(folder)
    recorder.journal.open()
    recorder.append(3)
    recorder.journal.close(remove=False)
    return recorder.journal.folder


def test_orphans_are_adopted_once_until_they_are_released(tmp_path: Path) -> None:
    folders = {dead_journal(tmp_path) for _ in range(2)}
    edge = JournalAdoption(tmp_path)
    assert edge.orphaned_bytes() == sum(
        segment.stat().st_size for folder in folders for segment in folder.glob("*.segment")
    )
    own = Recorder(tmp_path).journal
    own.open()
    journals = edge.adopt(own.folder)
    assert {journal.id.hex for journal in journals} == {folder.name for folder in folders}
    assert edge.adopt(own.folder) == []
    journals[0].close(remove=False)
    assert [journal.id for journal in edge.adopt(own.folder)] == [journals[0].id]
    own.close(remove=True)


def test_an_edge_adopts_a_bounded_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "MAX_ADOPTED", 2)
    for _ in range(3):
        dead_journal(tmp_path)
    edge = JournalAdoption(tmp_path)
    assert len(edge.adopt(tmp_path / "own")) == 2
    assert edge.adopt(tmp_path / "own") == []
