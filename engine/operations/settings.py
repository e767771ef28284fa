"""Settings: documented defaults, then the environment, validated once, then frozen.

Each row of SETTINGS is one environment variable; `waypost --help` prints the same table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from engine.common.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one process. Units come last in the names."""

    database_url: str = ""
    redis_url: str = ""
    visitors_host: str = "127.0.0.1"
    visitors_port: int = 8080
    console_host: str = "127.0.0.1"
    console_port: int = 8081
    visitors_url: str = ""
    console_url: str = ""
    trusted_hops: int = 0
    visits_per_second: int = 200
    api_reads_per_minute: int = 6_000
    api_writes_per_minute: int = 3_000
    private_targets: bool = True
    max_connections: int = 10_000
    head_timeout_ms: int = 10_000
    idle_timeout_ms: int = 65_000
    max_resident_links: int = 1_000_000
    max_unknown_paths: int = 100_000
    poll_interval_ms: int = 400
    journal_sync_ms: int = 100
    journal_segment_bytes: int = 64 * 1024 * 1024
    journal_seal_ms: int = 600_000
    journal_max_bytes: int = 8 * 1024 * 1024 * 1024
    ship_window_bytes: int = 16 * 1024 * 1024
    ship_linger_ms: int = 50
    lease_ttl_ms: int = 10_000
    drain_timeout_ms: int = 20_000
    partitions_ahead_days: int = 14
    jobs_kept_days: int = 7
    webhook_concurrency: int = 8
    webhook_rate: int = 50
    webhook_loopback: bool = False
    database_pool: int = 8
    redis_pool: int = 16
    query_timeout_ms: int = 10_000
    stats_timeout_ms: int = 2_000
    max_body_bytes: int = 1024 * 1024
    session_hours: int = 168
    geo_file: str = ""
    check_links: str = "public"
    github_url: str = "https://api.github.com"
    github_token: str = field(default="", repr=False)
    log_format: str = "text"


class Setting(NamedTuple):
    """How one variable is read: its field, its parser with bounds, and a line for --help. What a secret
    one is set to is shown nowhere."""

    variable: str
    field: str
    parse: Callable[[str], Any]
    help: str
    secret: bool = False


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return parse


def _switch(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be one of 1, 0, true, false, yes, no, on, off")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            scheme = urlsplit(text).scheme
        except ValueError:
            scheme = ""
        if scheme not in schemes:
            raise ValueError(
                f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}"
            )
        return text

    return parse


def _base_url(text: str) -> str:
    """Without a slash at its end."""
    checked = _url("http", "https")(text)
    parts = urlsplit(checked)
    odd = parts.username or parts.port == 0 or parts.query or parts.fragment
    if odd or not parts.hostname or len(text) > 200:
        raise ValueError("must be such as https://api.github.com")
    return checked.rstrip("/")


def _token(text: str) -> str:
    if len(text) > 255 or not all("!" <= c <= "~" for c in text):
        raise ValueError("must be 1 to 255 printable ASCII characters without blanks")
    return text


def _text(text: str) -> str:
    if not text or any(ord(c) < 0x21 for c in text):
        raise ValueError("must not be empty or have blanks")
    return text


def _path(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be a path without control characters")
    return text


_MS: Final = _whole(10, 86_400_000)
_PORT: Final = _whole(0, 65_535)
_GIB: Final = 1024**3

SETTINGS: Final = (
    Setting("DATABASE_URL", "database_url", _url("postgresql", "postgres"),
        "Postgres 15 or later; unset: an embedded one in the data folder"),
    Setting("REDIS_URL", "redis_url", _url("redis", "rediss", "unix", "redis+cluster", "rediss+cluster"),
        "Redis 7.0 or later, or Valkey; unset: an embedded Valkey"),
    Setting("WAYPOST_VISITORS_HOST", "visitors_host", _text, "address that visitors are served on"),
    Setting("WAYPOST_VISITORS_PORT", "visitors_port", _PORT, "port that visitors are served on; 0: any free one"),
    Setting("WAYPOST_CONSOLE_HOST", "console_host", _text, "address of the console (API, metrics)"),
    Setting("WAYPOST_CONSOLE_PORT", "console_port", _PORT, "port of the console; 0: any free one"),
    Setting("WAYPOST_VISITORS_URL", "visitors_url", _url("http", "https"),
        "what links start with, where it is not http://host:port"),
    Setting("WAYPOST_CONSOLE_URL", "console_url", _url("http", "https"),
        "how people reach the console, where it is not http://host:port"),
    Setting("WAYPOST_TRUSTED_HOPS", "trusted_hops", _whole(0, 16),
        "proxies in front: the client is the N-th address from the right of X-Forwarded-For; 0: the peer"),
    Setting("WAYPOST_VISITS_PER_SECOND", "visits_per_second", _whole(0, 10_000),
        "requests that one address may send an edge; 0: any number, as for this machine's own"),
    Setting("WAYPOST_API_READS_PER_MINUTE", "api_reads_per_minute", _whole(0, 100_000),
        "reads by one key, or one user's sessions; 0: any number"),
    Setting("WAYPOST_API_WRITES_PER_MINUTE", "api_writes_per_minute", _whole(0, 100_000),
        "changes by one key, or one user's sessions; 0: any number"),
    Setting("WAYPOST_PRIVATE_TARGETS", "private_targets", _switch,
        "whether links may lead to hosts that are not on the public internet"),
    Setting("WAYPOST_MAX_CONNECTIONS", "max_connections", _whole(1, 1_000_000),
        "visitors' connections per edge; one more is answered 503"),
    Setting("WAYPOST_HEAD_TIMEOUT_MS", "head_timeout_ms", _MS, "time to send a whole request head"),
    Setting("WAYPOST_IDLE_TIMEOUT_MS", "idle_timeout_ms", _MS, "time that a connection may be idle"),
    Setting("WAYPOST_MAX_RESIDENT_LINKS", "max_resident_links", _whole(1_000, 100_000_000),
        "links that an edge keeps in memory; beyond it, profiles unvisited for longest passivate"),
    Setting("WAYPOST_MAX_UNKNOWN_PATHS", "max_unknown_paths", _whole(100, 100_000_000),
        "unknown paths that an edge remembers as such"),
    Setting("WAYPOST_POLL_INTERVAL_MS", "poll_interval_ms", _whole(50, 60_000),
        "how often an edge asks Postgres for changes that no announcement brought"),
    Setting("WAYPOST_JOURNAL_SYNC_MS", "journal_sync_ms", _whole(1, 60_000),
        "longest time between a click's answer and its fdatasync: what a power loss can cost"),
    Setting("WAYPOST_JOURNAL_SEGMENT_BYTES", "journal_segment_bytes", _whole(2 * 1024 * 1024, _GIB),
        "size of a journal segment file"),
    Setting("WAYPOST_JOURNAL_SEAL_MS", "journal_seal_ms", _MS,
        "longest time that committed clicks stay in a journal's file when few visitors come"),
    Setting("WAYPOST_JOURNAL_MAX_BYTES", "journal_max_bytes", _whole(4 * 1024 * 1024, 1024 * _GIB),
        "disk that one edge's journal may take; beyond it clicks are answered, counted and not recorded"),
    Setting("WAYPOST_SHIP_WINDOW_BYTES", "ship_window_bytes", _whole(1024 * 1024, _GIB),
        "bytes of one journal that may be in Redis and not yet in Postgres"),
    Setting("WAYPOST_SHIP_LINGER_MS", "ship_linger_ms", _whole(1, 10_000),
        "how long clicks may wait to be shipped together"),
    Setting("WAYPOST_LEASE_TTL_MS", "lease_ttl_ms", _whole(500, 600_000),
        "how long workers own a stream or a webhook without renewing"),
    Setting("WAYPOST_DRAIN_TIMEOUT_MS", "drain_timeout_ms", _MS,
        "longest time that a stop waits for work in flight"),
    Setting("WAYPOST_PARTITIONS_AHEAD_DAYS", "partitions_ahead_days", _whole(2, 365),
        "days for which partitions of clicks are made ahead"),
    Setting("WAYPOST_WEBHOOK_CONCURRENCY", "webhook_concurrency", _whole(1, 100),
        "requests to one webhook at once"),
    Setting("WAYPOST_WEBHOOK_RATE", "webhook_rate", _whole(1, 10_000), "requests to one webhook a second"),
    Setting("WAYPOST_WEBHOOK_LOOPBACK", "webhook_loopback", _switch,
        "whether webhooks may go to this machine's own addresses, by http too; for development"),
    Setting("WAYPOST_JOBS_KEPT_DAYS", "jobs_kept_days", _whole(1, 365),
        "days for which jobs that have ended are kept; dead ones four times as long"),
    Setting("WAYPOST_DATABASE_POOL", "database_pool", _whole(1, 1_000), "Postgres connections per process"),
    Setting("WAYPOST_REDIS_POOL", "redis_pool", _whole(2, 1_000), "Redis connections per process"),
    Setting("WAYPOST_QUERY_TIMEOUT_MS", "query_timeout_ms", _MS, "longest time for one database statement"),
    Setting("WAYPOST_STATS_TIMEOUT_MS", "stats_timeout_ms", _MS,
        "longest time for one statement of a question to the statistics"),
    Setting("WAYPOST_MAX_BODY_BYTES", "max_body_bytes", _whole(1024, _GIB), "largest request body of the console"),
    Setting("WAYPOST_SESSION_HOURS", "session_hours", _whole(1, 8_784),
        "how long a login of the console lasts"),
    Setting("WAYPOST_GEO_FILE", "geo_file", _path,
        "places by a MaxMind or DB-IP file (.mmdb), read again when it changes; unset: countries only"),
    Setting("WAYPOST_CHECK_LINKS", "check_links", _one_of("public", "everywhere", "off"),
        "daily request to each link's target: on the public internet, private ones too, or none"),
    Setting("WAYPOST_GITHUB_URL", "github_url", _base_url,
        "GitHub's API; of an Enterprise Server https://HOST/api/v3"),
    Setting("WAYPOST_GITHUB_TOKEN", "github_token", _token,
        "optional; raises GitHub's limit from 60 to 5,000 requests an hour", secret=True),
    Setting("WAYPOST_LOG_FORMAT", "log_format", _one_of("text", "json"), "lines of a log: text or json"),
)  # fmt: skip


def read(environment: Mapping[str, str], **overrides: Any) -> Settings:
    """Defaults, then `environment`, then `overrides` that are not None (from the command line).

    Raises SettingsError naming the first variable that is wrong, or an unknown `WAYPOST_` one: a
    misspelt setting that is silently ignored is the worst kind.
    """
    values: dict[str, Any] = {}
    for row in SETTINGS:
        text = environment.get(row.variable, "")
        if text:
            try:
                values[row.field] = row.parse(text)
            except ValueError as error:
                shown = "" if row.secret else f" (it is {text[:100]!r})"
                raise SettingsError(f"{row.variable} {error}{shown}") from None
    known = {row.variable for row in SETTINGS}
    for variable in sorted(environment):
        if variable.startswith("WAYPOST_") and variable not in known | _OTHERS:
            raise SettingsError(f"{variable} is not a setting of Waypost; see waypost --help")
    values.update({field: value for field, value in overrides.items() if value is not None})
    return _consistent(Settings(**values))


# Read elsewhere: by the tests, and between a parent process and its children.
_OTHERS: Final = frozenset(
    {"WAYPOST_TEST_DATABASE_URL", "WAYPOST_TEST_REDIS_URL", "WAYPOST_PROCESS"}
)


def _consistent(settings: Settings) -> Settings:
    if bool(settings.database_url) != bool(settings.redis_url):
        given, missing = "DATABASE_URL", "REDIS_URL"
        if not settings.database_url:
            given, missing = missing, given
        raise SettingsError(
            f"{given} is given, {missing} is missing: set both, or neither for embedded servers"
        )
    if settings.journal_max_bytes < 2 * settings.journal_segment_bytes:
        raise SettingsError(
            "WAYPOST_JOURNAL_MAX_BYTES must be at least twice WAYPOST_JOURNAL_SEGMENT_BYTES"
        )
    return settings


def defaults() -> dict[str, Any]:
    """Each field's default, for --help and the docs."""
    return {field.name: field.default for field in fields(Settings)}
