"""The endpoints of statistics, exports and live updates, with the ports that they need."""

from collections.abc import Callable
from dataclasses import dataclass

from actors.stats.live_subscribers import LiveSubscribers
from api.http.routes import Route
from api.http.shared import Shared
from api.stats.batch import StatsBatchRoutes
from api.stats.export import StatsExportRoutes
from api.stats.live import LiveRoutes
from api.stats.polls import RecentPolls, Version
from api.stats.shares import ShareRoutes
from api.stats.stats import StatsRoutes
from engine.links.ports import ProfileStore
from engine.stats.dashboards.ports import ShareStore
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


def routes(deps: StatsDeps, shared: Shared) -> list[Route]:
    return [
        *StatsRoutes(deps.profiles, deps.stats, deps.version, deps.polls, shared.now).routes(),
        *StatsBatchRoutes(deps.profiles, deps.stats, deps.version, shared.now).routes(),
        *ShareRoutes(deps.shares, deps.forget_share, shared.now).routes(),
        *LiveRoutes(deps.profiles, deps.live_subscribers).routes(),
        *StatsExportRoutes(deps.profiles, deps.stats, deps.click_export, shared.now).routes(),
    ]
