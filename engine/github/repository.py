"""A repository on GitHub: its URL, its stored facts, and the times of its synchronisations."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import ada_url
import msgspec

WEB_HOST: Final = "github.com"
MAX_TOPICS: Final = 20
MAX_TEXT_CHARS: Final = 500
SYNC_PERIOD: Final = timedelta(hours=6)
GONE_PERIOD: Final = timedelta(hours=24)
SYNC_REQUEST_INTERVAL_S: Final = 60

_OWNER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,37}[A-Za-z0-9])?")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
# First path segments of GitHub's own pages, which no owner can have as a name.
_PAGES: Final = frozenset(
    {
        "about", "account", "apps", "codespaces", "collections", "contact", "customer-stories",
        "dashboard", "discussions", "enterprise", "events", "explore", "features", "issues", "join",
        "login", "logout", "marketplace", "new", "notifications", "organizations", "orgs", "pricing",
        "pulls", "readme", "search", "security", "sessions", "settings", "signup", "site", "sponsors",
        "stars", "team", "topics", "trending", "users", "watching",
    }
)  # fmt: skip

SyncState = Literal["queued", "running", "synced", "failed"]


class Repository(NamedTuple):
    """A repository's owner and name. GitHub ignores their case."""

    owner: str
    name: str

    @property
    def full_name(self) -> str:
        """`owner/name`, as it is spelt."""
        return f"{self.owner}/{self.name}"

    @property
    def key(self) -> str:
        """`owner/name` in lower case, equal for all spellings."""
        return self.full_name.lower()


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The latest release that is neither a draft nor a pre-release."""

    tag: str
    published_at: datetime | None


class RepositoryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's facts, as GitHub reports them. `licence` is an SPDX id; `renamed_to` is the current name
    if the link's target has an older one."""

    full_name: str
    stars: int
    forks: int
    language: str | None
    description: str | None
    topics: tuple[str, ...]
    licence: str | None
    avatar_url: str | None
    archived: bool
    last_release: Release | None = None
    renamed_to: str | None = None


class RememberedRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's state between two synchronisations.

    `etag` and `release_etag` are of the last responses ('' for none). `release_due`: the repository was
    read and its release was not. `named_at` is the last request for the name in the link's target.
    """

    facts: RepositoryFacts | None = None
    etag: str = ""
    release_etag: str = ""
    release_due: bool = False
    named_at: datetime | None = None


class LinkSync(msgspec.Struct, frozen=True, kw_only=True):
    """A link's synchronisation as members see it. `version` grows with each change of it."""

    state: SyncState
    reason: str
    facts: RepositoryFacts | None
    synced_at: datetime | None
    next_at: datetime | None
    version: int


def web_host(api_url: str) -> str:
    """Return the host of the web pages that belong to an API.

    `https://api.github.com` has github.com, `https://api.NAME.ghe.com` has NAME.ghe.com, an Enterprise
    Server's `https://HOST/api/v3` has HOST; any other URL has github.com.
    """
    try:
        parsed = ada_url.URL(api_url)
    except ValueError:
        return WEB_HOST
    if parsed.hostname.startswith("api.") and parsed.hostname.count(".") >= 2:
        return parsed.host.removeprefix("api.")
    return parsed.host if parsed.pathname.rstrip("/") == "/api/v3" else WEB_HOST


def parse_repository_url(url: str, host: str = WEB_HOST) -> Repository | None:
    """Return the repository of a URL of its page or of a page below it; None for any other URL.

    The URL is parsed as browsers do. A clone URL, `…/name.git`, names the repository too.
    """
    try:
        parsed = ada_url.URL(url)
    except ValueError:
        return None
    if parsed.protocol not in ("http:", "https:") or parsed.username or parsed.password:
        return None
    if parsed.host not in (host, f"www.{host}"):
        return None
    parts = parsed.pathname.split("/")[1:3]
    if len(parts) < 2:
        return None
    owner, name = parts[0], parts[1].removesuffix(".git")
    if _OWNER.fullmatch(owner) is None or owner.lower() in _PAGES:
        return None
    if _NAME.fullmatch(name) is None or name in (".", ".."):
        return None
    return Repository(owner, name)


def next_due_at(
    tenant_id: int, key: str, now: datetime, period: timedelta = SYNC_PERIOD
) -> datetime:
    """Return the next due time of a repository: its own fixed moment of each period, at least half a period
    from `now`.

    All links of a tenant to one repository have the same moment. Hashing spreads the moments of repositories
    evenly over the period.
    """
    digest = hashlib.sha256(f"{tenant_id}:{key}".encode()).digest()
    length = int(period.total_seconds())
    offset = int.from_bytes(digest[:8], "big") % length
    earliest = int((now + period / 2).timestamp())
    due = earliest + (offset - earliest) % length
    return datetime.fromtimestamp(due, UTC)
