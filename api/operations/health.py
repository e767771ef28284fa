"""`/healthz`, `/readyz` and `/metrics`: endpoints for monitoring, without an API key."""

from typing import Final

from quart import Response

from api.http.bodies import json_response
from api.http.routes import Doc, ResponseDoc, Route
from api.operations.exposition import CONTENT_TYPE
from api.operations.reports import (
    HealthResponse,
    ReadHealth,
    ReadMetrics,
    health_report,
    metrics_report,
)


class HealthRoutes:
    def __init__(
        self,
        health: ReadHealth,
        metrics: ReadMetrics,
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
        report = await health_report(self._health)
        return json_response(report, 200 if report.ready else 503)

    async def metrics(self) -> Response:
        return Response(await metrics_report(self._metrics), content_type=CONTENT_TYPE)


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
