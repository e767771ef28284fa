"""Endpoints of pages, and their dependencies."""

from dataclasses import dataclass

from api.http.routes import Route
from api.http.shared import Shared
from api.pages.drafts import PageDraftRoutes
from api.pages.preview import PagePreviewRoutes
from api.pages.subscribers import SubscriberRoutes
from engine.links.ports import ProfileStore
from engine.pages.ports import PageStore
from engine.pages.subscriber import SubscriberStore
from engine.visits.ports import Announcer


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDeps:
    pages: PageStore
    announcer: Announcer
    subscribers: SubscriberStore
    profiles: ProfileStore


def routes(deps: PageDeps, shared: Shared) -> list[Route]:
    drafts = PageDraftRoutes(
        deps.pages,
        deps.announcer,
        private_hosts=shared.settings.private_targets,
        sends_mail=bool(shared.settings.smtp_url),
    )
    return [
        *drafts.routes(),
        *PagePreviewRoutes(deps.pages, shared.visitors_url, shared.now).routes(),
        *SubscriberRoutes(deps.subscribers, deps.profiles).routes(),
    ]
