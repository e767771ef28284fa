"""`/healthz`, `/readyz` and `/metrics`: endpoints for monitoring, without an API key."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import trio
from quart import Response

from api.http.bodies import json_response
from api.http.routes import Doc, ResponseDoc, Route
from api.operations.exposition import CONTENT_TYPE, render_exposition
from engine.common.errors import UnavailableError
from engine.operations.health import Component, Health
from engine.operations.metrics import ProcessMetrics, sum_samples

LIMIT_S: Final = 3.0

logger = logging.getLogger("waypost.api")


class ComponentResponse(msgspec.Struct, frozen=True):
    ready: bool
    reason: str


class HealthResponse(msgspec.Struct, frozen=True):
    """Readiness of the engine: `ready` if all components are, and a reason for each that is not."""

    ready: bool
    components: dict[str, ComponentResponse]


class HealthRoutes:
    def __init__(
        self,
        health: Callable[[], Awaitable[Health]],
        metrics: Callable[[], Awaitable[list[ProcessMetrics]]],
    ) -> None:
        self._health = health
        self._metrics = metrics

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/healthz", self.alive, _ALIVE, access="public"),
            Route("GET", "/readyz", self.ready, _READY, access="public"),
            Route("GET", "/metrics", self.metrics, _METRICS, access="public"),
        ]

    async def alive(self) -> Response:
        """Answer 200: the console's process is alive."""
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    async def ready(self) -> Response:
        """Answer 200 if every component is ready, else 503, with the state and reason of each."""
        health = await self._read_health()
        components = {
            name: ComponentResponse(ready, reason) for name, ready, reason in health.components
        }
        body = HealthResponse(health.ready, components)
        return json_response(body, 200 if health.ready else 503)

    async def _read_health(self) -> Health:
        try:
            with trio.fail_after(LIMIT_S):
                return await self._health()
        except trio.TooSlowError:
            reason = f"did not answer within {LIMIT_S:g} s"
        except UnavailableError as error:
            reason = str(error)
        except Exception:
            logger.exception(
                "health could not be read; /readyz answers 503", extra={"event": "health_failed"}
            )
            reason = "could not be read; see the log of the console"
        return Health((Component("health", False, reason),))

    async def metrics(self) -> Response:
        try:
            with trio.fail_after(LIMIT_S):
                processes = await self._metrics()
        except trio.TooSlowError:
            raise UnavailableError(
                f"the engine's processes did not report their metrics within {LIMIT_S:g} s; try again"
            ) from None
        return Response(render_exposition(sum_samples(processes)), content_type=CONTENT_TYPE)


_ALIVE: Final = Doc(
    id="readHealth",
    summary="Whether this process is alive",
    tag="Service",
    description="Asks nothing but this process.",
    responses={
        200: ResponseDoc(
            "The process is alive.", str, "ok\n", content_type="text/plain; charset=utf-8"
        )
    },
)
_READY: Final = Doc(
    id="readReadiness",
    summary="Whether every component is ready",
    tag="Service",
    description="Names each component and what it lacks.",
    responses={
        200: ResponseDoc(
            "Every component is ready.",
            HealthResponse,
            {"ready": True, "components": {"postgres": {"ready": True, "reason": ""}}},
        ),
        503: ResponseDoc(
            "At least one component is not ready.",
            HealthResponse,
            {
                "ready": False,
                "components": {"postgres": {"ready": False, "reason": "does not answer"}},
            },
        ),
    },
)
_METRICS: Final = Doc(
    id="readMetrics",
    summary="Metrics for Prometheus",
    tag="Service",
    description="In Prometheus' text format, summed over the engine's processes.",
    responses={
        200: ResponseDoc(
            "The metrics of all processes.",
            str,
            "waypost_redirects_total 42\n",
            content_type=CONTENT_TYPE,
        )
    },
    errors=(503,),
)
