"""Which visitor server an edge runs, and why."""

import sys

import pytest

from api.visits.compiled.build import CompiledModule
from api.visits.compiled.selection import select_server
from api.visits.server import VisitorServer
from engine.common.errors import SettingsError


def test_python_is_run_where_it_is_wanted() -> None:
    selected = select_server("python")
    assert (selected.server, selected.core) == (VisitorServer, "python")
    (sample,) = selected.samples()
    assert (sample.value, sample.labels) == (1, ("python",))


def test_the_core_is_run_where_it_was_built() -> None:
    pytest.importorskip("api.visits.compiled.core")
    for wanted in ("auto", "compiled"):
        selected = select_server(wanted)
        assert (selected.core, selected.reason) == ("compiled", "")
        assert selected.server is not VisitorServer


def test_a_core_that_was_not_built_is_an_error_only_if_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "api.visits.compiled.core", None)
    selected = select_server("auto")
    assert (selected.server, selected.core) == (VisitorServer, "python")
    assert selected.reason.startswith("it was not built (")
    with pytest.raises(SettingsError, match="cannot be used: it was not built"):
        select_server("compiled")


def test_a_core_of_other_sources_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("api.visits.compiled.core")
    monkeypatch.setattr(CompiledModule, "digest", lambda _: "of others")
    assert select_server("auto").reason == "it was built from other sources"
    with pytest.raises(SettingsError, match="other sources"):
        select_server("compiled")
    monkeypatch.setattr(
        CompiledModule, "digest", lambda _: ""
    )  # an installation without the sources
    assert select_server("auto").core == "compiled"
