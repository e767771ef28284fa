"""The state of all processes on one machine, made of their statuses, for `/v1/system` and `waypost top`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from engine.operations.actor_tree import ActorNode
from engine.operations.health import Component
from engine.operations.metrics import ProcessMetrics

LAUNCHER: Final = "launcher"


class ProcessStatus(msgspec.Struct, frozen=True):
    """The status that a process reports. `name` is the role and its number, such as `edge-0`."""

    name: str
    components: tuple[Component, ...]
    metrics: ProcessMetrics
    tree: ActorNode


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the engine; `pid` 0 and `running` False when it does not answer."""

    name: str
    pid: int
    running: bool
    ready: bool
    reasons: tuple[str, ...]
    restarts: int
    last_error: str
    for_s: float
    actors: tuple[ActorNode, ...]


def process_states(
    statuses: Sequence[ProcessStatus], expected: Iterable[str], failures: Mapping[str, str]
) -> list[ProcessState]:
    """Return the state of each process that answers or is `expected` to.

    `failures` say by name why processes ended within the last minute. The launcher's status has the
    numbers of restarts of the others.
    """
    by_name = {status.name: status for status in statuses}
    launcher = by_name.pop(LAUNCHER, None)
    launched = {node.name: node for node in launcher.tree.children} if launcher else {}
    names = [*expected, *launched, *by_name]
    return [
        _state(name, by_name.get(name), launched.get(name), failures.get(name, ""))
        for name in dict.fromkeys(names)
    ]


def _state(
    name: str, status: ProcessStatus | None, launched: ActorNode | None, failure: str
) -> ProcessState:
    components = (*unready(status), *unexpected(name, status, failure))
    return ProcessState(
        name=name,
        pid=status.metrics.pid if status else 0,
        running=status is not None,
        ready=not components,
        reasons=tuple(f"{c.name}: {c.reason}" if c.reason else c.name for c in components),
        restarts=launched.restarts if launched else 0,
        last_error=failure or (launched.last_error if launched else ""),
        for_s=status.tree.for_s if status else 0.0,
        actors=status.tree.children if status else (),
    )


def unready(status: ProcessStatus | None) -> list[Component]:
    """Return the components of the process that are not ready."""
    return [c for c in status.components if not c.ready] if status else []


def unexpected(name: str, status: ProcessStatus | None, failure: str) -> list[Component]:
    """Return a component that is not ready if the process does not answer or ended lately."""
    if status is None:
        return [Component(name, False, f"does not answer{failure and '; ended by ' + failure}")]
    return [Component(name, False, f"was restarted, as it ended by {failure}")] if failure else []
