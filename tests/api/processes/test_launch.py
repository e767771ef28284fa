"""A launch refuses at once what no process of it could use."""

import sys
from pathlib import Path

import pytest

from api.processes.launch import Launch
from engine.common.errors import SettingsError
from engine.operations.settings import Settings


def test_a_core_that_was_not_built_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "api.visits.compiled.core", None)
    launch = Launch(Settings(visitor_core="compiled"), tmp_path, ("edge", "api"), 1, None)
    with pytest.raises(SettingsError, match="cannot be used: it was not built"):
        launch.__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_fold_that_was_not_built_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "engine.clicks.compiled.fold_rows", None)
    launch = Launch(Settings(fold_core="compiled"), tmp_path, ("workers",), 0, None)
    with pytest.raises(SettingsError, match="cannot be used: it was not built"):
        launch.__enter__()
    assert list(tmp_path.iterdir()) == []
