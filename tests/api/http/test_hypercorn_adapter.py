"""The parts of Hypercorn that the adapter uses and that are not public."""

import inspect
import re
import tomllib
from importlib.metadata import version
from typing import Any

from hypercorn.protocol.events import Body, Request, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup

from tests.architecture.sources import ROOT

ADVICE = (
    "Read its changes, adapt api/http/hypercorn_adapter.py, then move the range in pyproject.toml."
)


ARGUMENTS = [
    "self", "app", "config", "context", "task_group", "ssl", "client", "server", "send", "stream_id",
]  # fmt: skip


def missing_parts(stream: Any = HTTPStream, group: Any = TaskGroup) -> list[str]:
    """Return the names of parts that are not public, that the adapter needs, and that Hypercorn lacks."""
    missing = [] if "_nursery" in vars(group()) else ["TaskGroup()._nursery"]
    if list(inspect.signature(stream.__init__).parameters) != ARGUMENTS:
        missing.append("HTTPStream's arguments")
    handle = getattr(stream, "handle", None)
    names = handle.__code__.co_names if handle else ()
    needed = ("scope", "Request", "Body", "EndBody", "StreamClosed", "spawn_app")
    missing += [f"HTTPStream.handle's {name}" for name in needed if name not in names]
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
    class Stream:
        def __init__(self, app: Any, config: Any) -> None: ...

        async def handle(self, event: Any) -> None:
            self.scope = Request, Body, StreamClosed, event.spawn_app

    class Group: ...

    assert missing_parts(Stream, Group) == [
        "TaskGroup()._nursery",
        "HTTPStream's arguments",
        "HTTPStream.handle's EndBody",
    ]
