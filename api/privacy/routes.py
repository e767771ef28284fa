"""Endpoints of erasure and archive, and their dependencies."""

from dataclasses import dataclass

from api.http.routes import Route
from api.privacy.archive import ArchiveRoutes
from api.privacy.erasure import ErasureRoutes
from engine.links.ports import ProfileStore
from engine.privacy.ports import ArchiveSource, ErasureStore
from engine.visits.ports import Announcer


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyDeps:
    profiles: ProfileStore
    archives: ArchiveSource
    erasures: ErasureStore
    announcer: Announcer


def routes(deps: PrivacyDeps) -> list[Route]:
    return [
        *ArchiveRoutes(deps.archives).routes(),
        *ErasureRoutes(deps.profiles, deps.erasures, deps.announcer).routes(),
    ]
