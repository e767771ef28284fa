"""`GET /v1/profiles/{id}/stats` and `GET /v1/stats`: answers to a stats query about one profile, or several.

engine/stats/query.py has the parameters. `from` and `to` are the period that was used, in whole quarters of
an hour. By time, each interval has a row, oldest first; the first may begin before `from`. `as_of` is when
counts were last committed, in UTC; all other times carry the offset of `tz`.
"""

import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal, cast

import msgspec
import trio
from quart import Response, request

from api.http.auth import caller_or_none, current_caller, session_or_none, share_or_none
from api.http.bodies import empty_response, json_response, utc
from api.http.etag import tag_matches
from api.http.protocol import Scope
from api.http.query import parsed_id, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from api.stats.annotations import AnnotationStore, annotation_pairs, shown_annotations
from api.stats.answers import ProfileStatsResponse, StatsResponse, answer_body, counts_body
from api.stats.parameters import QUERY, SHOW_ANNOTATIONS
from api.stats.polls import RecentPolls, Version, cache_headers
from api.stats.readable import readable_profile, require_shared, shared_pairs
from engine.accounts.access import Caller
from engine.clicks.dimension import Dimension
from engine.common.errors import FieldError, InvalidError
from engine.links.ports import ProfileStore
from engine.links.profile import Profile
from engine.stats.dashboards.item import ANNOTATIONS
from engine.stats.ports import ProfileKey, ProfileQuestion, QuestionError, StatsReader
from engine.stats.query import StatsQuery
from engine.stats.query_parser import needs_first_day, parse_query
from engine.stats.result import Stats, TimeInterval
from engine.visits.classifier import RULES_VERSION

SEEN_S: Final = 5.0
MAX_RECENT: Final = 4_096
MAX_PROFILES: Final = 20  # of one query
Pairs = list[tuple[str, str]]


class ProfilesStatsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to one query about several profiles. `as_of`: when counts were last committed."""

    tz: str
    interval: TimeInterval
    as_of: datetime | None
    rule: int
    sampling: Literal["none"]
    profiles: list[ProfileStatsResponse]


class StatsRoutes:
    """Routes of stats. `now` is the clock: aware. `version` returns that of profiles, or None."""

    def __init__(
        self,
        store: ProfileStore,
        annotations: AnnotationStore,
        reader: StatsReader,
        version: Version,
        polls: RecentPolls,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._annotations = annotations
        self._reader = reader
        self._version = version
        self._polls = polls
        self._now = now
        self._seen = RecentAccess()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/profiles/<profile_id>/stats", self.read, _READ, access="shared"),
            Route("GET", "/v1/stats", self.read_many, _READ_MANY),
        ]

    async def read(self, profile_id: str) -> Response:
        id_, now = path_id(profile_id), utc(self._now())
        pairs, annotated = annotation_pairs(request_pairs())
        pairs = shared_pairs(pairs, now)
        profile = None
        if share_or_none() is not None or annotated or needs_first_day(pairs):
            profile = await readable_profile(self._store, id_)
        query = parse_query(pairs, now, await first_day(self._reader, pairs, [profile]))
        require_shared(query, now)
        if Dimension.LINK in query.groups and profile is None:
            profile = await readable_profile(self._store, id_)  # its version is that of names
        # Nothing but the clock and the profile's counts decides the query and its answer.
        is_poll = profile is None and session_or_none() is None
        names = profile.version if profile is not None and Dimension.LINK in query.groups else 0
        tenant_id = self._seen.tenant_of(current_caller(), id_) if profile is None else None
        if tenant_id is None:
            profile = profile or await readable_profile(self._store, id_)
            if (caller := caller_or_none()) is not None:
                self._seen.note(caller, profile)
            tenant_id = profile.tenant_id
        # The version is read first: counts may be newer than their tag, never older.
        key = ProfileKey(tenant_id, id_)
        version = await version_of([query], self._version, [key])
        shown = await self._shown(profile, query) if annotated else None
        tag = stats_tag((id_, names, query, shown), version)
        if tag is not None and version is not None and is_poll:
            self._note_poll(key, tag, version)
        if tag is not None and tag_matches(tag):
            return empty_response(304, cache_headers(tag))
        if profile is None:
            profile = await readable_profile(self._store, id_)
        stats = await self._reader.stats(profile.tenant_id, id_, query)
        body = answer_body(query, stats)
        if shown is not None:
            body[ANNOTATIONS] = shown
        return json_response(body, headers=cache_headers(tag))

    async def _shown(self, profile: Profile | None, query: StatsQuery) -> list[dict[str, Any]]:
        assert profile is not None
        return await shown_annotations(self._annotations, profile.tenant_id, profile.id, [query])

    def _note_poll(self, profile: ProfileKey, tag: str, version: str) -> None:
        """Note the answer to the current request, as long as its caller is known to see the profile."""
        caller = current_caller()
        until = self._seen.until(caller, profile.profile_id)
        scope = cast(Scope, request.scope)
        self._polls.note(scope, caller, profile, tag, version, now=self._now(), until=until)

    async def read_many(self) -> Response:
        profile_ids, pairs = _profiles_of_request()
        profiles = [await self._store.profile(current_caller(), id_) for id_ in profile_ids]
        query = parse_query(pairs, utc(self._now()), await first_day(self._reader, pairs, profiles))
        names = [(profile.id, profile.version) for profile in profiles]
        keys = [ProfileKey(profile.tenant_id, profile.id) for profile in profiles]
        tag = stats_tag((names, query), await version_of([query], self._version, keys))
        if tag is not None and tag_matches(tag):
            return empty_response(304, cache_headers(tag))
        answers = await self._answers(profiles, query)
        as_of = [stats.as_of for stats in answers.values() if stats.as_of is not None]
        body = {
            "tz": query.tz,
            "interval": query.interval,
            "as_of": utc(min(as_of)) if as_of else None,
            "rule": RULES_VERSION,
            "sampling": "none",
            "profiles": [
                {"profile": str(profile.id), "handle": profile.handle, "title": profile.title}
                | counts_body(query, answers[profile.id])
                for profile in profiles
            ],
        }
        return json_response(body, headers=cache_headers(tag))

    async def _answers(self, profiles: Sequence[Profile], query: StatsQuery) -> dict[int, Stats]:
        """Return the answer for each profile, by its id: those of one tenant from one snapshot."""
        by_tenant: defaultdict[int, list[int]] = defaultdict(list)
        for profile in profiles:
            by_tenant[profile.tenant_id].append(profile.id)
        answers: dict[int, Stats] = {}
        for tenant_id, ids in by_tenant.items():
            questions = [ProfileQuestion(id_, query) for id_ in ids]
            try:
                stats, _ = await self._reader.answers(tenant_id, questions)
            except QuestionError as error:
                raise InvalidError(error.causes) from None
            answers |= dict(zip(ids, stats, strict=True))
        return answers


class RecentAccess:
    """A short cache of granted accesses (caller, profile) and the profile's tenant, used only to answer 304.

    A 304 says only that the counts of the request's own tag have not changed. A removed
    member can therefore still receive a 304 for up to SEEN_S seconds, but never counts.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[Any, ...], tuple[float, int]] = OrderedDict()

    def note(self, caller: Caller, profile: Profile) -> None:
        key = self._key(caller, profile.id)
        self._until[key] = trio.current_time() + SEEN_S, profile.tenant_id
        self._until.move_to_end(key)
        if len(self._until) > MAX_RECENT:
            self._until.popitem(last=False)

    def until(self, caller: Caller, profile_id: int) -> float:
        """Return the time of trio's clock until which access is granted; 0 if it is not."""
        return self._until.get(self._key(caller, profile_id), (0.0, 0))[0]

    def tenant_of(self, caller: Caller, profile_id: int) -> int | None:
        """Return the profile's tenant if access was granted within SEEN_S."""
        until, tenant_id = self._until.get(self._key(caller, profile_id), (0.0, 0))
        return tenant_id if trio.current_time() < until else None

    @staticmethod
    def _key(caller: Caller, profile_id: int) -> tuple[Any, ...]:
        return (*caller._replace(request_id=""), profile_id)


async def version_of(
    queries: Iterable[StatsQuery],
    version: Version,
    profiles: Sequence[ProfileKey],
) -> str | None:
    """Return the stats version of profiles; None, so that an answer has no tag, if it has conversions: they
    come between commits of counts."""
    return None if any(query.conversions for query in queries) else await version(profiles)


def stats_tag(question: Any, version: str | None) -> str | None:
    """Return the entity tag of a question at a stats version. Weak: bytes of a response may differ."""
    if version is None:
        return None
    text = msgspec.json.encode((question, version, RULES_VERSION))
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def request_pairs() -> Pairs:
    """Return the request's query parameters."""
    return list(request.args.items(multi=True))


async def first_day(
    reader: StatsReader, pairs: Pairs, profiles: Sequence[Profile | None]
) -> date | None:
    """Return the first UTC day on which one of the profiles has counts, if the parameters need it."""
    if not needs_first_day(pairs):
        return None
    days = [
        await reader.first_day(profile.tenant_id, profile.id)
        for profile in profiles
        if profile is not None
    ]
    return min((day for day in days if day is not None), default=None)


def _profiles_of_request() -> tuple[list[int], Pairs]:
    """Return the ids of the parameter `profiles`, each once, and the other parameters. Raises InvalidError."""
    pairs = request_pairs()
    texts = [value for name, value in pairs if name == "profiles"]
    ids = [parsed_id(text) for text in texts[0].split(",")] if len(texts) == 1 else []
    known = list(dict.fromkeys(id_ for id_ in ids if id_ is not None))
    if None in ids or not 1 <= len(known) <= MAX_PROFILES:
        reason = f"must be given once, with 1 to {MAX_PROFILES} ids of profiles and commas between"
        raise InvalidError([FieldError("profiles", reason)])
    return known, [pair for pair in pairs if pair[0] != "profiles"]


_READ: Final = Doc(
    id="readStats",
    summary="Read the answer to a stats query",
    tag="Statistics",
    description="Clicks, views and visitors by interval or dimension; clicks and views by bots are counted "
    "separately, as `bots`. By time, each interval has a row; values without counts have none.",
    query=(*QUERY, SHOW_ANNOTATIONS),
    tagged=True,
    responses={
        200: ResponseDoc(
            "The counts.",
            StatsResponse,
            {
                "from": "2026-05-01T00:00:00+02:00",
                "to": "2026-06-01T00:00:00+02:00",
                "tz": "Europe/Rome",
                "interval": "day",
                "as_of": "2026-05-31T10:00:00Z",
                "rule": 1,
                "sampling": "none",
                "caps": {"country": {"profile": 200, "link": 50}},
                "totals": {"clicks": 42, "visitors": 30, "views": 7, "click_rate": 6.0, "bots": 5},
                "rows": [
                    {
                        "country": "DE",
                        "clicks": 42,
                        "visitors": 30,
                        "views": 7,
                        "click_rate": 6.0,
                        "bots": 5,
                    }
                ],
            },
        )
    },
)
_READ_MANY: Final = Doc(
    id="readStatsOfProfiles",
    summary="Read the answers to a stats query about several profiles",
    tag="Statistics",
    description="The answer for each of up to 20 profiles, all of which the caller must be allowed to see. "
    "Those of one owner come from one database snapshot.",
    query=(
        Parameter(
            "profiles",
            "Ids of profiles, with commas between.",
            Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,18}(,[1-9][0-9]{0,18}){0,19}$")],
            "365072220160000001",
        ),
        *QUERY,
    ),
    tagged=True,
    errors=(404,),
    responses={
        200: ResponseDoc(
            "The counts.",
            ProfilesStatsResponse,
            {
                "tz": "Europe/Rome",
                "interval": "day",
                "as_of": "2026-05-31T10:00:00Z",
                "rule": 1,
                "sampling": "none",
                "profiles": [
                    {
                        "profile": "365072220160000001",
                        "handle": "ada",
                        "title": "Ada Lovelace",
                        "from": "2026-05-01T00:00:00+02:00",
                        "to": "2026-06-01T00:00:00+02:00",
                        "totals": {"clicks": 42},
                        "rows": [{"country": "DE", "clicks": 42}],
                    }
                ],
            },
        )
    },
)
