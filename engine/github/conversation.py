"""The conversation with GitHub's REST API: the next request, and the result of the responses. No I/O.

Rules, from GitHub's documentation ("Best practices for using the REST API", "Rate limits for the REST API"):
- Requests are conditional: an unchanged resource answers 304, which with a token does not count to the limit.
- Workers send one request at a time per token (held by the GithubRequestLease).
- Primary limit: `x-ratelimit-remaining: 0`, on any response, means no request before `x-ratelimit-reset`.
- Secondary limit (403 or 429): no request before `retry-after`, or for a minute, doubled each further time.
- A renamed or moved repository answers 301 to `/repositories/{id}`, which is followed below the same base URL
  only. Later requests use the new name, and once a week the old one: another owner may have taken the old
  name, then GitHub stops redirecting it, and the link leads to that owner's repository.
- Private and deleted repositories answer 404, those blocked by a court or claim answer 451.
- A repository without a release answers 404 to the second request; an archived one gets no new releases.

A synchronisation takes two requests, or one for a repository that is gone; a rename adds one or two. An
interrupted one returns what it has read so far, so that the next one goes on where it ended.
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
NEW_NAME_LIFETIME: Final = timedelta(days=7)
_PATH: Final = re.compile(r"[A-Za-z0-9._/-]{1,200}")
_MARGIN: Final = timedelta(seconds=1)
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_LIMITED: Final = frozenset({403, 429})
_REFUSALS: Final = _LIMITED | {401}
# msgspec raises RecursionError for JSON that is nested too deeply.
_DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class GithubRequest(NamedTuple):
    """A GET below the base URL. `path` begins with a slash."""

    path: str
    etag: str = ""


class GithubResponse(NamedTuple):
    """A response of GitHub. `headers` have names in lower case. `body` is complete, or empty if
    `oversized`: then it had more than MAX_BODY_BYTES."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    oversized: bool = False


class RequestPause(NamedTuple):
    """How long to send no requests. If `escalates`, each consecutive pause of this kind lasts longer than the
    one before."""

    wait: timedelta
    reason: str
    escalates: bool = False


Ending = Literal["synced", "gone", "blocked", "refused", "limited", "retry"]


class SyncResult(NamedTuple):
    """The end of a synchronisation, its reason for members, and the state to store.

    "gone", "blocked" and "refused" last until GitHub answers otherwise; "limited" and "retry" are transient.
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
    """Return the headers to send with a request. Without a token ('') there is no Authorization."""
    headers = {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": API_VERSION,
        # Without compression, the limit of body bytes holds on the wire.
        "Accept-Encoding": "identity",
    }
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if request.etag:
        headers["If-None-Match"] = request.etag
    return headers


def pause_after(
    response: GithubResponse, now: datetime, consecutive_pauses: int = 0
) -> RequestPause | None:
    """Return the pause that a response asks for, or None. `consecutive_pauses` counts escalating pauses before
    it."""
    headers = response.headers
    backoff = min(MIN_PAUSE * 2 ** min(consecutive_pauses, 10), MAX_PAUSE)
    if response.status == 401:
        return RequestPause(backoff, "GitHub refuses the token", True)
    retry_after_s = parse_retry_after(headers.get("retry-after", ""), now)
    if response.status in _LIMITED and retry_after_s is not None:
        wait = min(timedelta(seconds=retry_after_s), MAX_PAUSE)
        return RequestPause(wait + _MARGIN, "GitHub's secondary rate limit", True)
    if _whole(headers.get("x-ratelimit-remaining")) == 0:
        return RequestPause(_wait_for_reset(headers, now, backoff), "GitHub's rate limit")
    if response.status == 429 or (
        response.status == 403 and b"rate limit" in response.body.lower()
    ):
        return RequestPause(backoff, "GitHub's secondary rate limit", True)
    return None


def _wait_for_reset(headers: Mapping[str, str], now: datetime, default: timedelta) -> timedelta:
    """Return the time until the limit is reset, by GitHub's own clock if the response has its date."""
    reset_s = _whole(headers.get("x-ratelimit-reset"))
    if reset_s is None:
        return default
    try:
        wait = datetime.fromtimestamp(reset_s, UTC) - (
            parse_http_date(headers.get("date", "")) or now
        )
    except (ValueError, OverflowError, OSError):
        return default
    return min(max(wait, timedelta()), MAX_PAUSE) + _MARGIN


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


class Conversation:
    """A synchronisation of a repository. Send `request` and pass its response to receive(), until `request`
    is None and `result` is set.

    `base_url` is the API's, without a slash at its end. Call interrupt() if no response comes or no further
    request may be sent now.
    """

    def __init__(
        self, base_url: str, repository: Repository, remembered: RememberedRepository, now: datetime
    ) -> None:
        self._base_url = base_url
        self._repository = repository
        self._now = now
        self._hops = 0
        self._facts = remembered.facts
        self._etag, self._release_etag = remembered.etag, remembered.release_etag
        self._named_at = remembered.named_at
        self._by_own_name = False
        self._release = remembered.facts.last_release if remembered.facts else None
        self.result: SyncResult | None = None
        self.request: GithubRequest | None = None
        if remembered.release_due and remembered.facts is not None:
            self._request_release()
        else:
            self._request_repository()

    def receive(self, response: GithubResponse) -> None:
        """Process the response to `request`, and set the next request or the result."""
        request, self.request = self.request, None
        assert request is not None
        pause = pause_after(response, self._now)
        if response.status in _REDIRECTS:
            self._follow(response, request)
        elif pause is not None and response.status in _REFUSALS:
            self.interrupt("limited", pause.reason)
        elif response.status >= 500:
            self.interrupt("retry", f"GitHub answers {response.status}")
        elif self._release_stage:
            self._receive_release(response)
        elif response.oversized:
            self.interrupt("retry", "GitHub's response is too large")
        else:
            self._receive_repository(response)

    def interrupt(self, ending: Literal["limited", "retry"], reason: str) -> None:
        """End the conversation, to be continued by a later one."""
        self.request = None
        self._finish(ending, reason, release_due=self._release_stage)

    # ---- the repository itself --------------------------------------------------------------------

    def _request_repository(self) -> None:
        self._release_stage = False
        name = self._repository.full_name
        if self._facts is not None and self._facts.renamed_to and self._new_name_is_valid():
            name = self._facts.renamed_to
        else:
            self._by_own_name = True
        self.request = GithubRequest(f"/repos/{name}", self._etag)

    def _new_name_is_valid(self) -> bool:
        return self._named_at is not None and self._now - self._named_at < NEW_NAME_LIFETIME

    def _receive_repository(self, response: GithubResponse) -> None:
        if self._by_own_name:
            self._named_at = self._now
        if response.status == 304 and self._facts is not None:
            # An archived repository gets no release after the one that was read.
            if self._facts.archived:
                self._finish("synced", "")
            else:
                self._request_release()
        elif response.status == 200:
            self._read_repository(response)
        elif response.status in (404, 410):
            self._end_without_facts("gone", "the repository does not exist, or is private")
        elif response.status == 451:
            self._end_without_facts("blocked", "the repository is blocked for legal reasons")
        elif response.status == 403:
            self._end_without_facts("refused", "GitHub refuses access to the repository")
        else:
            self.interrupt("retry", f"GitHub answers {response.status}")

    def _read_repository(self, response: GithubResponse) -> None:
        try:
            body = msgspec.json.decode(response.body, type=_RepositoryBody)
        except _DECODE_ERRORS:
            self.interrupt("retry", "GitHub's response cannot be parsed")
            return
        facts = _facts(body, self._repository)
        if facts is None:
            self.interrupt("retry", "GitHub's response cannot be parsed")
            return
        previous_name = self._facts.full_name.lower() if self._facts else None
        if previous_name != facts.full_name.lower():
            self._release, self._release_etag = None, ""
        self._facts, self._etag = facts, _etag(response)
        self._request_release()

    # ---- its last release ------------------------------------------------------------------------------

    def _request_release(self) -> None:
        assert self._facts is not None
        self._release_stage, self._hops = True, 0
        self.request = GithubRequest(
            f"/repos/{self._facts.full_name}/releases/latest", self._release_etag
        )

    def _receive_release(self, response: GithubResponse) -> None:
        """Store the release and finish. A body that cannot be parsed leaves the previous release."""
        if response.status == 200:
            try:
                body = msgspec.json.decode(response.body, type=_ReleaseBody)
            except _DECODE_ERRORS:
                pass
            else:
                published = _in_utc(body.published_at)
                self._release = Release(tag=_line(body.tag_name), published_at=published)
                self._release_etag = _etag(response)
        elif response.status != 304:
            # 404: there is no release. 403, 451 and the like: the release must not be shown.
            self._release, self._release_etag = None, ""
        self._finish("synced", "")

    # ---- both ------------------------------------------------------------------------------------------

    def _follow(self, response: GithubResponse, request: GithubRequest) -> None:
        path = path_below(self._base_url, response.headers.get("location", ""))
        self._hops += 1
        if path is None:
            self.interrupt("retry", "GitHub redirects to another place")
        elif self._hops > MAX_HOPS:
            self.interrupt("retry", "GitHub redirects too often")
        else:
            self.request = GithubRequest(path, request.etag)

    def _end_without_facts(self, ending: Ending, reason: str) -> None:
        self.result = SyncResult(ending, reason, RememberedRepository(named_at=self._named_at))

    def _finish(self, ending: Ending, reason: str, *, release_due: bool = False) -> None:
        facts = self._facts
        if facts is not None:
            facts = msgspec.structs.replace(facts, last_release=self._release)
        remembered = RememberedRepository(
            facts=facts,
            etag=self._etag,
            release_etag=self._release_etag,
            release_due=release_due,
            named_at=self._named_at,
        )
        self.result = SyncResult(ending, reason, remembered)


def path_below(base_url: str, location: str) -> str | None:
    """Return the path, below the base URL, of an absolute or rooted location; None if it leads elsewhere."""
    if not location.isprintable():  # urlsplit drops line ends
        return None
    try:
        base, url = urlsplit(base_url), urlsplit(location)
    except ValueError:
        return None
    same_origin = (url.scheme, url.netloc) in (("", ""), (base.scheme, base.netloc))
    path = url.path.removeprefix(base.path)
    if not same_origin or url.query or url.fragment or not url.path.startswith(base.path + "/"):
        return None
    return path if _PATH.fullmatch(path) and ".." not in path else None


def _facts(body: _RepositoryBody, requested: Repository) -> RepositoryFacts | None:
    """Return the facts of a response, or None if it has no valid name of a repository."""
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
        renamed_to=body.full_name if body.full_name.lower() != requested.key else None,
    )


def _is_path(name: str) -> bool:
    """Return whether `owner/name` can stand in a path unencoded."""
    return name.count("/") == 1 and all(c.isascii() and (c.isalnum() or c in "._-/") for c in name)


def _count(number: int) -> int:
    return min(max(number, 0), 2**53 - 1)


def _line(text: str, max_chars: int = 100) -> str:
    """Return one line of printable text: visitors may see it, and Postgres takes no NUL."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * max_chars])
    return " ".join(printable.split())[:max_chars]


def _text(text: str | None) -> str | None:
    return _line(text, MAX_TEXT_CHARS) or None if text else None


def _https(url: str | None) -> str | None:
    """Return an https URL that a browser may load, or None."""
    if url is None or not url.startswith("https://") or len(url) > 500:
        return None
    return url if all("!" <= c <= "~" and c not in "\"'<>\\" for c in url) else None


def _in_utc(time: datetime | None) -> datetime | None:
    """Return the time in UTC; None for a time that UTC's years 1 to 9999 do not have."""
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
