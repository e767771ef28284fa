"""Endpoints of visits, and their dependencies."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from api.http.routes import Route
from api.visits.events import EventRoutes
from engine.links.ports import ProfileStore
from engine.visits.ports import HitSender


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitDeps:
    profiles: ProfileStore
    hits: HitSender
    monotonic: Callable[[], float] = time.monotonic


def routes(deps: VisitDeps) -> list[Route]:
    return EventRoutes(deps.profiles, deps.hits, deps.monotonic).routes()
