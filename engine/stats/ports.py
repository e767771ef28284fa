"""Ports of stats: counts, raw clicks and live updates."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Any, Final, NamedTuple, Protocol

from engine.clicks.dimension import TEXT_COLUMNS
from engine.common.errors import FieldError, InvalidError
from engine.stats.live import LiveUpdate
from engine.stats.query import StatsQuery
from engine.stats.result import LinkName, Stats


class ProfileKey(NamedTuple):
    """The key of a profile's rows."""

    tenant_id: int
    profile_id: int


class ProfileQuestion(NamedTuple):
    """A stats query about one profile."""

    profile_id: int
    query: StatsQuery


class RecentQuestion(NamedTuple):
    """A question about what happens on a profile at `now`.

    `active_since`: since when visitors count as active; None: they are not counted. `latest`: the largest
    number of latest clicks; None: without them.
    """

    profile_id: int
    now: datetime
    active_since: datetime | None = None
    latest: int | None = None


class LatestClick(NamedTuple):
    """A click or view. `values`: known values, by name of their dimension. `name` is None of a deleted link."""

    at: datetime
    link_id: int
    name: LinkName | None
    values: dict[str, str]


class RecentAnswer(NamedTuple):
    """The answer to a RecentQuestion; None: not asked for. The latest click comes first."""

    visitors_now: int | None
    latest: list[LatestClick] | None


class QuestionError(InvalidError):
    """A question among several that cannot be answered; `causes` are its errors, by parameter."""

    def __init__(self, number: int, causes: list[FieldError]) -> None:
        super().__init__(
            [FieldError(f"questions[{number}].{field}", reason) for field, reason in causes]
        )
        self.causes = causes


class QueryReader(Protocol):
    """Answers of single stats queries."""

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        """Answer a query about a profile of the tenant. The route must have checked the caller's access.

        Raises InvalidError if the query would take too long, and SlowQueryError if it did; both say what to
        narrow.
        """

    async def versions(self, profiles: Sequence[ProfileKey]) -> dict[ProfileKey, str]:
        """Return the stats version of each profile: another text after each fold of its clicks.

        Code that changes counts without a fold must move a journal's `recounted_at`, which changes all.
        """


class StatsReader(QueryReader, Protocol):
    """Answers of stats queries, one or many."""

    async def answers(
        self,
        tenant_id: int,
        questions: Sequence[ProfileQuestion],
        recent: RecentQuestion | None = None,
    ) -> tuple[list[Stats], RecentAnswer | None]:
        """Answer questions about profiles of the tenant from one database snapshot, in their order.

        Raises the errors of stats(), InvalidError as QuestionError of the first question that is refused.
        """

    async def first_day(self, tenant_id: int, profile_id: int) -> date | None:
        """Return the profile's first UTC day with counts; None: it has none."""


# Columns of an exported click. `link` 0: the page. `kind`: click, view or event. `visitor_class`: a value of
# the dimension kind, or head. `properties`: those of an own event, with commas between. None: not known.
CLICK_COLUMNS: Final = (
    "time", "link", "kind", "visitor_class",
    *(dimension.name.lower() for dimension in TEXT_COLUMNS.values()),
    "trigger", "event", "properties",
)  # fmt: skip


class ClickExport(Protocol):
    """Exports of raw clicks."""

    def clicks(
        self, tenant_id: int, profile_id: int, start: datetime, end: datetime
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """Yield the raw clicks of [start, end) that are still kept, in chunks, day by day.

        The values of a click stand in the order of CLICK_COLUMNS.
        """


SUBSCRIPTION_S: Final = 15.0  # how long a profile stays subscribed without a renewal
MAX_SUBSCRIBED: Final = 1_000


class LiveChannel(Protocol):
    """Live updates of clicks as they are committed, for subscribed profiles. Some may get lost."""

    async def subscribe(self, profiles: Sequence[int]) -> None:
        """Subscribe the profiles for the next SUBSCRIPTION_S."""

    async def subscribed_profiles(self) -> frozenset[int]:
        """Return the subscribed profiles, MAX_SUBSCRIBED at most."""

    async def publish(self, updates: Sequence[LiveUpdate]) -> None: ...

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[LiveUpdate | None]]:
        """Iterate over live updates of all profiles for as long as the context is open; None: some were lost.

        Updates that are published after it was entered arrive.
        """
