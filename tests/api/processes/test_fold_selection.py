"""Which code folds, and why."""

import sys

import pytest

from api.processes.fold_selection import select_fold
from api.visits.compiled.build import CompiledModule
from engine.clicks.copy_rows import FoldRows
from engine.common.errors import SettingsError

MODULES = ("engine.clicks.compiled.fold_rows", "engine.stats.packed.compiled.packer")


def test_python_folds_where_it_is_wanted() -> None:
    selected = select_fold("python")
    assert (selected.rows, selected.core) == (FoldRows, "python")
    (sample,) = selected.samples()
    assert (sample.value, sample.labels) == (1, ("python",))


def test_compiled_code_folds_where_it_was_built() -> None:
    for module in MODULES:
        pytest.importorskip(module)
    for wanted in ("auto", "compiled"):
        selected = select_fold(wanted)
        assert (selected.core, selected.reason) == ("compiled", "")
        assert selected.rows is not FoldRows


@pytest.mark.parametrize("module", MODULES)
def test_code_that_was_not_built_is_an_error_only_if_it_is_wanted(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert select_fold("auto").core == "python"
    with pytest.raises(SettingsError, match=r"WAYPOST_FOLD_CORE .* cannot be used"):
        select_fold("compiled")


def test_code_of_other_sources_does_not_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        pytest.importorskip(module)
    monkeypatch.setattr(CompiledModule, "digest", lambda _: "of others")
    assert select_fold("auto").reason == "it was built from other sources"
