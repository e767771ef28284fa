"""Endpoints of the log of changes and of security events, and their dependencies."""

from dataclasses import dataclass

from api.audit.audit_log import ActivityRoutes
from api.audit.security_events import SecurityRoutes
from api.http.routes import Route
from engine.audit.ports import ActivityReader, SecurityStore


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDeps:
    activity: ActivityReader
    security_events: SecurityStore


def routes(deps: AuditDeps) -> list[Route]:
    return [
        *ActivityRoutes(deps.activity).routes(),
        *SecurityRoutes(deps.security_events).routes(),
    ]
