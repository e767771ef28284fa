"""Endpoints of links' synchronisation with GitHub, and their dependencies."""

from dataclasses import dataclass

from api.github.sync import GithubSyncRoutes
from api.http.routes import Route
from api.http.shared import Shared
from engine.github.ports import LinkSyncStore
from engine.github.repository import web_host
from engine.links.ports import ProfileStore


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubDeps:
    profiles: ProfileStore
    syncs: LinkSyncStore


def routes(deps: GithubDeps, shared: Shared) -> list[Route]:
    return GithubSyncRoutes(
        deps.profiles, deps.syncs, web_host(shared.settings.github_url)
    ).routes()
