"""Endpoints of jobs, and their dependencies."""

from dataclasses import dataclass

from api.http.routes import Route
from api.jobs.jobs import JobRoutes
from engine.jobs.ports import JobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDeps:
    jobs: JobStore


def routes(deps: JobDeps) -> list[Route]:
    return JobRoutes(deps.jobs).routes()
