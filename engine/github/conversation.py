"""GitHub's REST API as a conversation: which request is next, and what the answers come to. No I/O.

Rules, from GitHub's documentation ("Best practices for using the REST API", "Rate limits for the REST API"):
- requests are conditional: what has not changed answers 304, which with a token costs nothing of the limit;
- one at a time for a token, whoever asks (storage sees to that);
- primary limit: `x-ratelimit-remaining: 0`, on any answer: nothing more before `x-ratelimit-reset`;
- secondary limit (403 or 429): nothing before `retry-after`, or for a minute, twice as long each further time;
- a repository that was renamed or moved answers 301 to `/repositories/{id}`, which is followed below the
  same base URL only; from then on its new name is asked for, the old one again once a week (somebody
  else may have taken it: then GitHub leads there no more, and nor does the link).
- 404 is all that is said of private and deleted repositories, 451 of those a court or claim blocks;
- a repository without a release answers 404 to the second request, and an archived one has no new ones.

A synchronisation is two requests, one for a repository that is gone; a third and fourth come with a rename.
What an interrupted one has learned is kept, so that the next goes on where it ended.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from engine.common.retry import parse_http_date, parse_retry_after
from engine.github.repository import (
    MAX_TEXT_CHARS,
    MAX_TOPICS,
    Release,
    RememberedRepository,
    Repository,
    RepositoryFacts,
)

API_VERSION: Final = "2022-11-28"
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
MAX_HOPS: Final = 3
MAX_ETAG_CHARS: Final = 200
MIN_PAUSE: Final = timedelta(seconds=60)
MAX_PAUSE: Final = timedelta(hours=24)
NAME_IS_GOOD_FOR: Final = timedelta(days=7)
_PATH: Final = re.compile(r"[A-Za-z0-9._/-]{1,200}")
_MARGIN: Final = timedelta(seconds=1)
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_LIMITED: Final = frozenset({403, 429})
_REFUSALS: Final = _LIMITED | {401}
# RecursionError is msgspec's for what is nested too deeply.
_NO_SENSE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class GithubRequest(NamedTuple):
    """A GET below the base URL. `path` begins with a slash."""

    path: str
    etag: str = ""


class GithubResponse(NamedTuple):
    """`headers` by lower-case name. `body` is whole; `oversized` says that there was more than
    MAX_BODY_BYTES, and then it is empty."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    oversized: bool = False


class RequestPause(NamedTuple):
    """For how long nothing may be asked. `counts`: each such one in a row makes the next one longer."""

    wait: timedelta
    reason: str
    escalates: bool = False


Ending = Literal["synced", "gone", "blocked", "refused", "limited", "retry"]


class SyncResult(NamedTuple):
    """What a synchronisation came to, in words too, and what is to be remembered.

    "gone", "blocked", "refused" stay so until GitHub changes its mind; "limited" and "retry" go on later.
    """

    ending: Ending
    reason: str
    remembered: RememberedRepository


class _Owner(msgspec.Struct):
    avatar_url: str | None = None


class _Licence(msgspec.Struct):
    spdx_id: str | None = None


class _RepositoryBody(msgspec.Struct):
    full_name: str
    stargazers_count: int
    forks_count: int
    archived: bool = False
    language: str | None = None
    description: str | None = None
    topics: list[str] = []
    license: _Licence | None = None
    owner: _Owner | None = None


class _ReleaseBody(msgspec.Struct):
    tag_name: str
    published_at: datetime | None = None


def headers_of(request: GithubRequest, token: str) -> dict[str, str]:
    """What is sent with a request."""
    headers = {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": API_VERSION,
        # A body that is sent as it is can be capped on the wire.
        "Accept-Encoding": "identity",
    }
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if request.etag:
        headers["If-None-Match"] = request.etag
    return headers


def pause_after(response: GithubResponse, now: datetime, in_a_row: int = 0) -> RequestPause | None:
    """For how long GitHub wants no more requests, by this answer. `in_a_row`: counted pauses before it."""
    headers = response.headers
    backoff = min(MIN_PAUSE * 2 ** min(in_a_row, 10), MAX_PAUSE)
    if response.status == 401:
        return RequestPause(backoff, "GitHub refuses the token", True)
    retry_after_s = parse_retry_after(headers.get("retry-after", ""), now)
    if response.status in _LIMITED and retry_after_s is not None:
        wait = min(timedelta(seconds=retry_after_s), MAX_PAUSE)
        return RequestPause(wait + _MARGIN, "GitHub's secondary rate limit", True)
    if _whole(headers.get("x-ratelimit-remaining")) == 0:
        return RequestPause(_reset(headers, now, backoff), "GitHub's rate limit")
    if response.status == 429 or (
        response.status == 403 and b"rate limit" in response.body.lower()
    ):
        return RequestPause(backoff, "GitHub's secondary rate limit", True)
    return None


def _reset(headers: Mapping[str, str], now: datetime, otherwise: timedelta) -> timedelta:
    """How long until the limit is whole again, by GitHub's own clock where the answer tells it."""
    reset_s = _whole(headers.get("x-ratelimit-reset"))
    if reset_s is None:
        return otherwise
    try:
        wait = datetime.fromtimestamp(reset_s, UTC) - (
            parse_http_date(headers.get("date", "")) or now
        )
    except (ValueError, OverflowError, OSError):
        return otherwise
    return min(max(wait, timedelta()), MAX_PAUSE) + _MARGIN


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


class Conversation:
    """One synchronisation of a repository: `request`, then `take` its answer, until there is none.

    `base_url` is the API's, without a slash at its end. What GitHub may not be asked now, or does not
    answer, `interrupt` says.
    """

    def __init__(
        self, base_url: str, repository: Repository, known: RememberedRepository, now: datetime
    ) -> None:
        self._base_url = base_url
        self._repository = repository
        self._now = now
        self._hops = 0
        self._facts = known.facts
        self._etag, self._release_etag = known.etag, known.release_etag
        self._named_at = known.named_at
        self._by_own_name = False
        self._release = known.facts.last_release if known.facts else None
        self.result: SyncResult | None = None
        self.request: GithubRequest | None = None
        if known.release_due and known.facts is not None:
            self._ask_release()
        else:
            self._ask_repository()

    def receive(self, response: GithubResponse) -> None:
        """Go on with the answer to `request`."""
        asked, self.request = self.request, None
        assert asked is not None
        pause = pause_after(response, self._now)
        if response.status in _REDIRECTS:
            self._follow(response, asked)
        elif pause is not None and response.status in _REFUSALS:
            self.interrupt("limited", pause.reason)
        elif response.status >= 500:
            self.interrupt("retry", f"GitHub answers {response.status}")
        elif self._release_stage:
            self._take_release(response)
        elif response.oversized:
            self.interrupt("retry", "GitHub's answer is too large")
        else:
            self._take_repository(response)

    def interrupt(self, ending: Literal["limited", "retry"], reason: str) -> None:
        """End here, to go on another time."""
        self.request = None
        self._finish(ending, reason, release_due=self._release_stage)

    # ---- the repository itself --------------------------------------------------------------------

    def _ask_repository(self) -> None:
        self._release_stage = False
        name = self._repository.full_name
        if self._facts is not None and self._facts.renamed_to and self._name_is_good():
            name = self._facts.renamed_to
        else:
            self._by_own_name = True
        self.request = GithubRequest(f"/repos/{name}", self._etag)

    def _name_is_good(self) -> bool:
        return self._named_at is not None and self._now - self._named_at < NAME_IS_GOOD_FOR

    def _take_repository(self, response: GithubResponse) -> None:
        if self._by_own_name:
            self._named_at = self._now
        if response.status == 304 and self._facts is not None:
            if self._facts.archived:  # it was when its release was read, and has had none since
                self._finish("synced", "")
            else:
                self._ask_release()
        elif response.status == 200:
            self._read_repository(response)
        elif response.status in (404, 410):
            self._end("gone", "the repository does not exist, or is private")
        elif response.status == 451:
            self._end("blocked", "the repository is blocked for legal reasons")
        elif response.status == 403:
            self._end("refused", "GitHub refuses access to the repository")
        else:
            self.interrupt("retry", f"GitHub answers {response.status}")

    def _read_repository(self, response: GithubResponse) -> None:
        try:
            body = msgspec.json.decode(response.body, type=_RepositoryBody)
        except _NO_SENSE:
            self.interrupt("retry", "GitHub's answer makes no sense")
            return
        facts = _facts(body, self._repository)
        if facts is None:
            self.interrupt("retry", "GitHub's answer makes no sense")
            return
        before = self._facts.full_name.lower() if self._facts else None
        if before != facts.full_name.lower():
            self._release, self._release_etag = None, ""
        self._facts, self._etag = facts, _etag(response)
        self._ask_release()

    # ---- its last release ------------------------------------------------------------------------------

    def _ask_release(self) -> None:
        assert self._facts is not None
        self._release_stage, self._hops = True, 0
        self.request = GithubRequest(
            f"/repos/{self._facts.full_name}/releases/latest", self._release_etag
        )

    def _take_release(self, response: GithubResponse) -> None:
        """What cannot be read of a release leaves the one known before."""
        if response.status == 200:
            try:
                body = msgspec.json.decode(response.body, type=_ReleaseBody)
            except _NO_SENSE:
                pass
            else:
                published = _in_utc(body.published_at)
                self._release = Release(tag=_line(body.tag_name), published_at=published)
                self._release_etag = _etag(response)
        elif response.status != 304:
            # 404: there is none. 403, 451 and the like: none that may be seen.
            self._release, self._release_etag = None, ""
        self._finish("synced", "")

    # ---- either ----------------------------------------------------------------------------------------

    def _follow(self, response: GithubResponse, asked: GithubRequest) -> None:
        path = path_below(self._base_url, response.headers.get("location", ""))
        self._hops += 1
        if path is None:
            self.interrupt("retry", "GitHub redirects to another place")
        elif self._hops > MAX_HOPS:
            self.interrupt("retry", "GitHub redirects too often")
        else:
            self.request = GithubRequest(path, asked.etag)

    def _end(self, ending: Ending, reason: str) -> None:
        """Nothing is known of it any more."""
        self.result = SyncResult(ending, reason, RememberedRepository(named_at=self._named_at))

    def _finish(self, ending: Ending, reason: str, *, release_due: bool = False) -> None:
        facts = self._facts
        if facts is not None:
            facts = msgspec.structs.replace(facts, last_release=self._release)
        known = RememberedRepository(
            facts=facts,
            etag=self._etag,
            release_etag=self._release_etag,
            release_due=release_due,
            named_at=self._named_at,
        )
        self.result = SyncResult(ending, reason, known)


def path_below(base_url: str, location: str) -> str | None:
    """The path, below the base URL, of an absolute or rooted location; None when it is elsewhere."""
    if not location.isprintable():  # urlsplit drops line ends
        return None
    try:
        base, found = urlsplit(base_url), urlsplit(location)
    except ValueError:
        return None
    same = (found.scheme, found.netloc) in (("", ""), (base.scheme, base.netloc))
    path = found.path.removeprefix(base.path)
    if not same or found.query or found.fragment or not found.path.startswith(base.path + "/"):
        return None
    return path if _PATH.fullmatch(path) and ".." not in path else None


def _facts(body: _RepositoryBody, asked: Repository) -> RepositoryFacts | None:
    """None when it is no repository's."""
    owner, _, name = body.full_name.partition("/")
    if not owner or not name or len(body.full_name) > 140 or not _is_path(body.full_name):
        return None
    licence = body.license.spdx_id if body.license else None
    return RepositoryFacts(
        full_name=body.full_name,
        stars=_count(body.stargazers_count),
        forks=_count(body.forks_count),
        language=_text(body.language),
        description=_text(body.description),
        topics=tuple(_line(topic) for topic in body.topics[:MAX_TOPICS]),
        licence=None if licence in (None, "", "NOASSERTION") else _line(licence or ""),
        avatar_url=_https(body.owner.avatar_url if body.owner else None),
        archived=body.archived,
        renamed_to=body.full_name if body.full_name.lower() != asked.key else None,
    )


def _is_path(name: str) -> bool:
    """Whether `owner/name` can stand in a path as it is."""
    return name.count("/") == 1 and all(c.isascii() and (c.isalnum() or c in "._-/") for c in name)


def _count(number: int) -> int:
    return min(max(number, 0), 2**53 - 1)


def _line(text: str, most: int = 100) -> str:
    """Printable text of one line: people will see it, and Postgres takes no NUL."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * most])
    return " ".join(shown.split())[:most]


def _text(text: str | None) -> str | None:
    return _line(text, MAX_TEXT_CHARS) or None if text else None


def _https(url: str | None) -> str | None:
    """An address that a browser may load; no other scheme."""
    if url is None or not url.startswith("https://") or len(url) > 500:
        return None
    return url if all("!" <= c <= "~" and c not in "\"'<>\\" for c in url) else None


def _in_utc(time: datetime | None) -> datetime | None:
    """None also for one that no year of UTC has."""
    if time is None or time.tzinfo is None:
        return time and time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return None


def _etag(response: GithubResponse) -> str:
    tag = response.headers.get("etag", "")
    fits = len(tag) <= MAX_ETAG_CHARS and all("!" <= c <= "~" for c in tag)
    return tag if fits else ""
