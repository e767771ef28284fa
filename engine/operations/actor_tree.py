"""The actors of a process as one tree: supervisors and their children."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from engine.operations.health import Component

CRASH_LOOP_COUNT: int = 3  # crashes within a supervisor's period that make a crash loop


class ActorStatus(NamedTuple):
    """An actor's status: messages waiting, lag by name (units last), and its last error."""

    mailbox: int | None = None
    lag: Mapping[str, float] = {}
    last_error: str = ""


class ActorNode(msgspec.Struct, frozen=True, kw_only=True):
    """An actor, a supervisor of actors, or a whole process.

    `restarts` counts those since the process began, `crashes` those within the supervisor's last period.
    `for_s` is the time for which it has run, 0 if it does not run. `done`: it ended with its work done.
    """

    name: str
    kind: Literal["process", "supervisor", "actor"]
    running: bool
    done: bool = False
    for_s: float = 0.0
    restarts: int = 0
    crashes: int = 0
    mailbox: int | None = None
    lag: dict[str, float] = {}
    last_error: str = ""
    children: tuple["ActorNode", ...] = ()


def walk(node: ActorNode, path: str = "") -> Iterator[tuple[str, ActorNode]]:
    """Yield a node and all below it, each with its path, such as `workers-0/jobs/rescue`."""
    here = f"{path}/{node.name}" if path else node.name
    yield here, node
    for child in node.children:
        yield from walk(child, here)


def crash_looping(node: ActorNode) -> list[Component]:
    """Return a component that is not ready, named by its path, for each node below in a crash loop: restarting
    does not help it."""
    return [
        Component(
            path, False, f"crashed {actor.crashes} times within a minute, last: {actor.last_error}"
        )
        for path, actor in walk(node)
        if actor.crashes >= CRASH_LOOP_COUNT
    ]
