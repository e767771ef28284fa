"""Endpoints of experiments and conversions, and their dependencies."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.experiments.bodies import TargetRules
from api.experiments.conversion_hooks import HookRoutes
from api.experiments.conversion_ingest import ConversionIngest
from api.experiments.conversions import ConversionParser, ConversionRoutes
from api.experiments.experiments import ExperimentRoutes
from api.experiments.explain import ExplainRoutes
from api.experiments.plan import PlanRoutes
from api.experiments.refunds import RefundRoutes
from api.experiments.results import ResultRoutes
from api.http.routes import Route
from api.http.shared import Shared
from engine.experiments.ports import ConversionHookStore, ConversionStore, ExperimentStore
from engine.experiments.shops.shop_reports import ShopReportCounts
from engine.links.ports import ProfileStore
from engine.links.targets.target_policy import RefusedTargets
from engine.visits.ports import Announcer


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentDeps:
    """Dependencies of the endpoints. `click_id_secret` returns the secret of click ids, fetching it if
    needed."""

    experiments: ExperimentStore
    conversions: ConversionStore
    conversion_hooks: ConversionHookStore
    shop_reports: ShopReportCounts
    click_id_secret: Callable[[], Awaitable[bytes]]
    profiles: ProfileStore
    announcer: Announcer
    policy: Callable[[], RefusedTargets]


def routes(deps: ExperimentDeps, shared: Shared) -> list[Route]:
    settings = shared.settings
    parser = ConversionParser(deps.click_id_secret, shared.now)
    rules = TargetRules(settings.private_targets, shared.visitors_url, deps.policy)
    return [
        *ExperimentRoutes(deps.experiments, deps.announcer, rules).routes(),
        *ConversionRoutes(deps.conversions, parser).routes(),
        *ConversionIngest(
            deps.conversions,
            deps.conversion_hooks,
            parser,
            deps.shop_reports,
            shared.now,
            settings.trusted_hops,
        ).routes(),
        *HookRoutes(deps.conversion_hooks, settings.console_url).routes(),
        *RefundRoutes(deps.conversions, shared.now).routes(),
        *PlanRoutes().routes(),
        *ResultRoutes(deps.experiments).routes(),
        *ExplainRoutes(deps.experiments, deps.profiles, shared.visitors_url, shared.now).routes(),
    ]
