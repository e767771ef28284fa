"""Endpoints of profiles and links, and their dependencies."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from api.http.routes import Route
from api.http.shared import Shared
from api.links.addresses import LinkAddressRoutes
from api.links.bulk import BulkRoutes
from api.links.domains import DomainRoutes
from api.links.explain import LinkExplainRoutes
from api.links.imports.export import LinkExportRoutes
from api.links.imports.imports import LinkImportRoutes
from api.links.link_counts import LinkCountsRoutes
from api.links.link_drafts import HashPassword, LinkDrafts
from api.links.link_list import LinkListRoutes
from api.links.links import LinkRoutes
from api.links.order import LinkOrderRoutes
from api.links.orphan_visits import OrphanVisitRoutes
from api.links.profiles import ProfileRoutes
from api.links.qr import Pictures as Pictures
from api.links.qr import QrRoutes
from api.links.reports import ReportRoutes
from engine.accounts.access import Caller
from engine.github.repository import web_host
from engine.links.abuse.report import ReportStore
from engine.links.domain import host_of_url
from engine.links.import_ports import ImportStore
from engine.links.link import validate_draft
from engine.links.orphan_visits import OrphanVisitLists
from engine.links.ports import DomainStore, ProfileStore
from engine.links.targets.target_policy import TargetPolicy
from engine.visits.ports import Announcer


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDeps:
    profiles: ProfileStore
    announcer: Announcer
    hash_password: HashPassword
    domains: DomainStore
    orphan_visits: OrphanVisitLists
    policy: Callable[[], TargetPolicy]
    imports: ImportStore
    pictures: Pictures
    reports: ReportStore
    is_operator: Callable[[Caller], Awaitable[bool]]


def routes(deps: LinkDeps, shared: Shared) -> list[Route]:
    check = partial(
        validate_draft,
        private_hosts=shared.settings.private_targets,
        github_host=web_host(shared.settings.github_url),
        visitors_url=shared.visitors_url,
    )
    url, drafts = shared.visitors_url, LinkDrafts(check, deps.hash_password, deps.policy)
    return [
        *ProfileRoutes(deps.profiles, deps.announcer, url).routes(),
        *LinkRoutes(deps.profiles, deps.announcer, url, drafts, shared.now).routes(),
        *LinkCountsRoutes(deps.profiles, deps.announcer, url).routes(),
        *LinkListRoutes(deps.profiles, url, shared.now).routes(),
        *LinkAddressRoutes(deps.profiles, deps.domains, deps.announcer, url, drafts).routes(),
        *LinkExplainRoutes(deps.profiles, shared.now).routes(),
        *QrRoutes(deps.profiles, deps.domains, deps.pictures, url).routes(),
        *LinkExportRoutes(deps.profiles).routes(),
        *LinkImportRoutes(deps.profiles, deps.imports, shared.settings.max_import_bytes).routes(),
        *LinkOrderRoutes(deps.profiles, deps.announcer).routes(),
        *BulkRoutes(deps.profiles, deps.announcer, url, drafts).routes(),
        *ReportRoutes(deps.reports, url, deps.is_operator).routes(),
        *OrphanVisitRoutes(deps.orphan_visits).routes(),
        *DomainRoutes(deps.domains, (host_of_url(url),), deps.policy).routes(),
    ]
