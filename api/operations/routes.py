"""Endpoints for operators and for monitoring, and their dependencies."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.http.routes import Route
from api.operations.health import HealthRoutes
from api.operations.system import SystemRoutes
from engine.accounts.access import Caller
from engine.operations.health import Health
from engine.operations.metrics import ProcessMetrics
from engine.operations.system import ProcessState


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationDeps:
    """Health, metrics and states of all processes on this machine.

    `is_operator` returns whether a caller is a user of the first tenant.
    """

    health: Callable[[], Awaitable[Health]]
    metrics: Callable[[], Awaitable[list[ProcessMetrics]]]
    system: Callable[[], Awaitable[list[ProcessState]]]
    is_operator: Callable[[Caller], Awaitable[bool]]


def routes(deps: OperationDeps) -> list[Route]:
    return [
        *SystemRoutes(deps.system, deps.is_operator).routes(),
        *HealthRoutes(deps.health, deps.metrics).routes(),
    ]
