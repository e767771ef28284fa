"""`pytestmark = pytest.mark.trio(run=…)` of a module holds for its async tests, and only those.

Trio mode marks each of those itself, which would go before the module's mark.
"""

import inspect

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    modules = {item.getparent(pytest.Module): list[pytest.Mark]() for item in items}
    for module, marks in modules.items():
        if module is not None:
            marks += (mark for mark in module.own_markers if mark.name == "trio")
            module.own_markers[:] = [mark for mark in module.own_markers if mark.name != "trio"]
    for item in items:
        if inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.own_markers[:0] = modules[item.getparent(pytest.Module)]
