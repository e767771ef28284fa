"""A repository on GitHub: which one a URL means, what is kept of it, and when it is asked for again."""

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
# First parts of GitHub's own pages, which are nobody's name.
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
    """`owner/name`. GitHub does not tell upper from lower case in them, `key` is lower."""

    owner: str
    name: str

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def key(self) -> str:
        return self.full_name.lower()


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The latest release that is neither a draft nor a pre-release."""

    tag: str
    published_at: datetime | None


class RepositoryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What GitHub says of a repository. `licence` is an SPDX id; `renamed_to` its name where it is no longer
    the target's."""

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
    """What is remembered between two synchronisations of a repository.

    `etag` and `release_etag` are of the last answers ('' for none). `release_due`: the repository was
    read and its release was not. `named_at`: when the target's own name was last asked for.
    """

    facts: RepositoryFacts | None = None
    etag: str = ""
    release_etag: str = ""
    release_due: bool = False
    named_at: datetime | None = None


class LinkSync(msgspec.Struct, frozen=True, kw_only=True):
    """A link's synchronisation as its members see it. `version` grows with each change of it."""

    state: SyncState
    reason: str
    facts: RepositoryFacts | None
    synced_at: datetime | None
    next_at: datetime | None
    version: int


def web_host(api_url: str) -> str:
    """The host of the pages whose API this is.

    `https://api.github.com` has github.com, `https://api.NAME.ghe.com` has NAME.ghe.com, an Enterprise
    Server's `https://HOST/api/v3` has HOST; any other answers for github.com.
    """
    try:
        parsed = ada_url.URL(api_url)
    except ValueError:
        return WEB_HOST
    if parsed.hostname.startswith("api.") and parsed.hostname.count(".") >= 2:
        return parsed.host.removeprefix("api.")
    return parsed.host if parsed.pathname.rstrip("/") == "/api/v3" else WEB_HOST


def parse_repository_url(url: str, host: str = WEB_HOST) -> Repository | None:
    """The repository whose page, or a page below it, a URL leads to; None when there is none.

    The URL is read as browsers do. What a clone is made from, `…/name.git`, means the same.
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
    """When a repository is due again: at its own fixed moment of each period, after half a period at least.

    All links of a tenant to one repository have the same moment; those of different ones are spread evenly
    over the period, whenever they were made.
    """
    digest = hashlib.sha256(f"{tenant_id}:{key}".encode()).digest()
    length = int(period.total_seconds())
    offset = int.from_bytes(digest[:8], "big") % length
    earliest = int((now + period / 2).timestamp())
    due = earliest + (offset - earliest) % length
    return datetime.fromtimestamp(due, UTC)
