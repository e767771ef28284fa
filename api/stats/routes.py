"""The endpoints of statistics, exports and live updates, with the ports that they need."""

from collections.abc import Callable
from dataclasses import dataclass

from actors.stats.live_subscribers import LiveSubscribers
from api.http.routes import Route
from api.http.shared import Shared
from api.stats.annotations import KIND, AnnotationStore
from api.stats.batch import StatsBatchRoutes
from api.stats.dashboard_items import DashboardItemRoutes
from api.stats.digests import DigestRoutes
from api.stats.export import StatsExportRoutes
from api.stats.goals import GoalRoutes, GoalStore
from api.stats.live import LiveRoutes
from api.stats.polls import RecentPolls, Version
from api.stats.saved_questions import saved_question_kind
from api.stats.shares import ShareRoutes
from api.stats.stats import StatsRoutes
from engine.links.ports import ProfileStore
from engine.stats.dashboards.item import SavedQuestion, SavedQuestionDraft
from engine.stats.dashboards.ports import DashboardItemStore, DigestSettingsStore, ShareStore
from engine.stats.ports import ClickExport, StatsReader


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsDeps:
    """Ports of the stats routes. `version` returns that of profiles' stats, or None while it is unknown.
    `forget_share` is called with the id of each revoked share."""

    profiles: ProfileStore
    stats: StatsReader
    version: Version
    polls: RecentPolls
    click_export: ClickExport
    live_subscribers: LiveSubscribers
    shares: ShareStore
    forget_share: Callable[[int], None]
    annotations: AnnotationStore
    digests: DigestSettingsStore
    saved_questions: DashboardItemStore[SavedQuestionDraft, SavedQuestion]
    goals: GoalStore


def routes(deps: StatsDeps, shared: Shared) -> list[Route]:
    stores = deps.profiles, deps.annotations, deps.stats, deps.version
    questions = saved_question_kind(shared.now)
    return [
        *StatsRoutes(*stores, deps.polls, shared.now).routes(),
        *StatsBatchRoutes(*stores, shared.now).routes(),
        *DashboardItemRoutes(deps.annotations, KIND).routes(),
        *DashboardItemRoutes(deps.saved_questions, questions).routes(),
        *GoalRoutes(deps.profiles, deps.goals, deps.stats, shared.now).routes(),
        *DigestRoutes(deps.digests, mail=bool(shared.settings.smtp_url)).routes(),
        *ShareRoutes(deps.shares, deps.forget_share, shared.now).routes(),
        *LiveRoutes(deps.profiles, deps.live_subscribers).routes(),
        *StatsExportRoutes(deps.profiles, deps.stats, deps.click_export, shared.now).routes(),
    ]
