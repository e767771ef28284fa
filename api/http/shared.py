"""What the endpoints of every domain may use beside their own ports: the settings and the clock."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.operations.settings import Settings


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """`settings.visitors_url` must be filled in. `now` returns an aware time."""

    settings: Settings
    now: Callable[[], datetime] = _now

    @property
    def visitors_url(self) -> str:
        """Where visitors find links and pages, without a slash at the end."""
        return self.settings.visitors_url.rstrip("/")
