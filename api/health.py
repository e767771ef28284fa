"""`/healthz`, `/readyz` and `/metrics`: for machines that watch; none needs a key."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from quart import Response

from api.bodies import answer
from api.exposition import CONTENT_TYPE, written
from api.routes import Route
from engine.errors import UnavailableError
from engine.health import Component, Health
from engine.statistics import ProcessStatistics, summed

LIMIT_S: Final = 3.0

logger = logging.getLogger("waypost.api")


class HealthRoutes:
    def __init__(
        self,
        health: Callable[[], Awaitable[Health]],
        statistics: Callable[[], Awaitable[list[ProcessStatistics]]],
    ) -> None:
        self._health = health
        self._statistics = statistics

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/healthz", self.alive),
            Route("GET", "/readyz", self.ready),
            Route("GET", "/metrics", self.metrics),
        ]

    async def alive(self) -> Response:
        """200 as long as this process answers at all."""
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    async def ready(self) -> Response:
        """200 when every component is ready, else 503; both name each component and its reason."""
        health = await self._asked()
        components = {
            name: {"ready": ready, "reason": reason} for name, ready, reason in health.components
        }
        body = {"ready": health.ready, "components": components}
        return answer(body, 200 if health.ready else 503)

    async def _asked(self) -> Health:
        try:
            with trio.fail_after(LIMIT_S):
                return await self._health()
        except trio.TooSlowError:
            reason = f"did not answer within {LIMIT_S:g} s"
        except UnavailableError as error:
            reason = str(error)
        except Exception:
            logger.exception("health could not be told", extra={"event": "health_failed"})
            reason = "could not be asked; the log says why"
        return Health((Component("health", False, reason),))

    async def metrics(self) -> Response:
        try:
            with trio.fail_after(LIMIT_S):
                processes = await self._statistics()
        except trio.TooSlowError:
            raise UnavailableError("the processes did not tell their figures in time") from None
        return Response(written(summed(processes)), content_type=CONTENT_TYPE)
