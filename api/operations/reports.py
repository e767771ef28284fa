"""Reports for monitoring: readiness as JSON and metrics as text, for the console and the operations port."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import trio

from api.operations.exposition import render_exposition
from engine.common.errors import UnavailableError
from engine.operations.health import Component, Health
from engine.operations.metrics import ProcessMetrics, sum_samples

LIMIT_S: Final = 3.0

logger = logging.getLogger("waypost.health")

ReadHealth = Callable[[], Awaitable[Health]]
ReadMetrics = Callable[[], Awaitable[list[ProcessMetrics]]]


class ComponentResponse(msgspec.Struct, frozen=True):
    ready: bool
    reason: str


class HealthResponse(msgspec.Struct, frozen=True):
    """Readiness of the engine: `ready` if all components are, and a reason for each that is not."""

    ready: bool
    components: dict[str, ComponentResponse]


async def health_report(read: ReadHealth) -> HealthResponse:
    """Return the state and reason of each component. Health that cannot be read is a component, too."""
    health = await _read_health(read)
    components = {
        name: ComponentResponse(ready, reason) for name, ready, reason in health.components
    }
    return HealthResponse(health.ready, components)


async def metrics_report(read: ReadMetrics) -> str:
    """Return the metrics of all processes in Prometheus's text format. Raises UnavailableError."""
    try:
        with trio.fail_after(LIMIT_S):
            processes = await read()
    except trio.TooSlowError:
        raise UnavailableError(
            f"the engine's processes did not report their metrics within {LIMIT_S:g} s; try again"
        ) from None
    return render_exposition(sum_samples(processes))


async def _read_health(read: ReadHealth) -> Health:
    try:
        with trio.fail_after(LIMIT_S):
            return await read()
    except trio.TooSlowError:
        reason = f"did not answer within {LIMIT_S:g} s"
    except UnavailableError as error:
        reason = str(error)
    except Exception:
        logger.exception(
            "health could not be read; /readyz answers 503", extra={"event": "health_failed"}
        )
        reason = "could not be read; see the log"
    return Health((Component("health", False, reason),))
