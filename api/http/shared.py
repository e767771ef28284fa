"""Settings and clock, shared by the endpoints of every domain."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.operations.settings import Settings


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Settings, with `visitors_url` filled in, and the clock `now`, which returns an aware time."""

    settings: Settings
    now: Callable[[], datetime] = _now

    @property
    def visitors_url(self) -> str:
        """The URL of links and pages for visitors, without a slash at the end."""
        return self.settings.visitors_url.rstrip("/")
