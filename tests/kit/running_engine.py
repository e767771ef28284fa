"""One running engine for the tests of programs that use the API, as to start one takes 9 s of CPU time."""

import pytest

from tests.kit.engines import Engine

_running: list[Engine] = []


@pytest.fixture
def running_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return an engine that one test after the other uses. They leave it running, and name what they make."""
    if not _running:
        _running.append(Engine(tmp_path_factory.mktemp("engine") / "data"))
    return _running[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that use the engine one after the other."""
    items.sort(key=uses_engine)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Stop the engine when the next test does not use it, as it takes CPU time while it is idle."""
    if _running and (nextitem is None or not uses_engine(nextitem)):
        _running.pop().kill()


def uses_engine(item: pytest.Item) -> bool:
    return "running_engine" in getattr(item, "fixturenames", ())
