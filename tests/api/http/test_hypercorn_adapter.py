"""The private parts of Hypercorn that the adapter uses."""

import re
import tomllib
from importlib.metadata import version
from typing import Any

from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup

from tests.architecture.sources import ROOT, imports, name_of, sources

ADVICE = (
    "Read its changes, adapt api/http/hypercorn_adapter.py, then move the range in pyproject.toml."
)


OVERRIDDEN = ("_check_protocol", "_create_stream", "_send_error_response")


def missing_parts(protocol: Any = H11Protocol, group: Any = TaskGroup) -> list[str]:
    """Return the names of private parts that the adapter needs and Hypercorn lacks."""
    missing = [] if "_nursery" in vars(group()) else ["TaskGroup()._nursery"]
    needed = (*OVERRIDDEN, "_send_h11_event", "_handle_events")
    missing += [f"H11Protocol.{name}" for name in needed if not hasattr(protocol, name)]
    # An override that Hypercorn does not call would be dead, and nothing would show it.
    events = getattr(protocol, "_handle_events", None)
    calls = events.__code__.co_names if events else ()
    missing += [f"H11Protocol's call of {name}" for name in OVERRIDDEN if name not in calls]
    return missing


def test_the_installed_hypercorn_has_what_the_adapter_needs() -> None:
    missing = missing_parts()
    assert not missing, f"Hypercorn {version('hypercorn')} lacks {', '.join(missing)}. {ADVICE}"


def test_the_installed_hypercorn_is_in_the_pinned_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pin,) = [text for text in project["dependencies"] if text.startswith("hypercorn")]
    pinned = re.fullmatch(r"hypercorn>=0\.(\d+),<0\.(\d+)", pin)
    assert pinned, f"pin one minor version of Hypercorn, not {pin!r}"
    low, high = map(int, pinned.groups())
    assert high == low + 1
    installed = version("hypercorn")
    assert installed.startswith(f"0.{low}."), f"{installed} is not within {pin}. {ADVICE}"


def test_the_parts_that_a_changed_hypercorn_lacks_are_named() -> None:
    class Protocol:
        async def _create_stream(self, request: Any) -> None: ...
        async def _send_h11_event(self, event: Any) -> None: ...

        async def _handle_events(self) -> None:
            await self._create_stream(None)

    class Group: ...

    assert missing_parts(Protocol, Group) == [
        "TaskGroup()._nursery",
        "H11Protocol._check_protocol",
        "H11Protocol._send_error_response",
        "H11Protocol's call of _check_protocol",
        "H11Protocol's call of _send_error_response",
    ]


def test_no_other_module_imports_hypercorn() -> None:
    users = {name_of(p) for p in sources() if any(n.startswith("hypercorn") for n in imports(p))}
    assert users == {"api/http/hypercorn_adapter.py"}
