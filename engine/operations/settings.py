"""Settings: documented defaults, then the environment, validated once, then frozen.

Each field of `Settings` declares one: its type, default, parser with bounds, and help. The name of
its environment variable, `waypost --help` and read() are derived from it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.common.errors import SettingsError
from engine.mail.server import parse_mail_from, parse_smtp_url
from engine.operations.server_url import parse_database_url, parse_redis_url
from engine.operations.setting import (
    PREFIX,
    base_url,
    bucket_url,
    contact_url,
    declared_settings,
    host,
    host_list,
    milliseconds,
    one_of,
    path,
    port,
    setting,
    site_url,
    switch,
    token,
    url,
    url_list,
    whole,
)

_MIB: Final = 1024**2
_GIB: Final = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one process. Units come last in the names."""

    # fmt: off
    # Postgres and Redis
    database_url: str = setting("", parse_database_url,
        "Postgres 15 or later; unset: an embedded one in the data folder",
        variable="DATABASE_URL", secret=True)
    database_direct_url: str = setting("", parse_database_url,
        "Postgres itself, for migrate, backup and restore, if DATABASE_URL leads to a pooler; unset: that one",
        secret=True)
    redis_url: str = setting("", parse_redis_url,
        "Redis 7.0 or later, or Valkey; unset: an embedded Valkey", variable="REDIS_URL", secret=True)
    database_pool: int = setting(8, whole(1, 1_000), "Postgres connections per process")
    redis_pool: int = setting(16, whole(2, 1_000), "Redis connections per process")
    query_timeout_ms: int = setting(10_000, milliseconds, "time limit of one database statement")

    # Addresses
    visitors_host: str = setting("127.0.0.1", host, "address on which visitors are served")
    visitors_port: int = setting(8080, port, "port on which visitors are served; 0: any free one")
    visitors_url: str = setting("", site_url,
        "start of every short URL; unset: http://host:port")
    console_host: str = setting("127.0.0.1", host, "address of the console (API, metrics)")
    console_port: int = setting(8081, port, "port of the console; 0: any free one")
    console_url: str = setting("", url("http", "https"),
        "URL of the console for its users; unset: http://host:port")
    operations_host: str = setting("127.0.0.1", host,
        "address on which the launcher serves /metrics and /readyz of this machine's processes")
    operations_port: int = setting(0, port,
        "port of the launcher's /metrics and /readyz, for machines without the console; 0: none")
    trusted_hops: int = setting(0, whole(0, 16),
        "proxies in front; the client is the N-th address from the right of X-Forwarded-For; 0: the peer")

    # Visitors
    security_contact: str = setting("", contact_url,
        "https or mailto URL for reports of weaknesses, in /.well-known/security.txt; empty: there is none")
    unknown_hosts: str = setting("auto", one_of("auto", "serve", "refuse"),
        "hosts that are neither WAYPOST_VISITORS_URL's nor a verified domain: served as that one, or refused "
        "with 404; auto: refused unless WAYPOST_VISITORS_URL is of this machine")
    visits_per_second: int = setting(200, whole(0, 10_000),
        "requests per second allowed from one client address, per edge; 0: no limit. Loopback is never limited")
    max_connections: int = setting(10_000, whole(1, 1_000_000),
        "visitors' connections per edge; beyond them, idle ones are closed, then new ones are answered 503")
    connections_per_address: int = setting(1_000, whole(0, 1_000_000),
        "of these, connections of one client address or IPv6 /64, four times as many of a /48; 0: no limit. "
        "Behind trusted proxies there is none")
    max_head_bytes: int = setting(16 * 1024, whole(4 * 1024, 64 * 1024),
        "largest request head, cookies included, of visitors and of the console; beyond it, the answer is 431")
    head_timeout_ms: int = setting(10_000, milliseconds, "time limit for a client to send a request head")
    idle_timeout_ms: int = setting(65_000, milliseconds, "time after which an idle connection is closed")
    max_resident_links: int = setting(1_000_000, whole(1_000, 100_000_000),
        "links that an edge keeps in memory; beyond it, the least recently visited profiles are unloaded")
    max_unknown_paths: int = setting(100_000, whole(100, 100_000_000),
        "unknown paths that an edge caches")
    max_entrances: int = setting(100_000, whole(0, 10_000_000),
        "visitors whose way to a page an edge remembers for 30 minutes; 0: none")
    visitor_core: str = setting("auto", one_of("auto", "compiled", "python"),
        "what answers plain visits: the compiled core, or Python, which answers all others in any case; auto: "
        "compiled if it was built")
    poll_interval_ms: int = setting(400, whole(50, 60_000),
        "time between an edge's polls of Postgres for changes whose announcement was lost")
    geo_file: str = setting("", path,
        "MaxMind or DB-IP file of places (.mmdb), read again when it changes; unset: countries only")

    # Clicks
    journal_sync_ms: int = setting(100, whole(1, 60_000),
        "longest time between a redirect and the fdatasync of its click, which a power loss can cost")
    journal_segment_bytes: int = setting(64 * _MIB, whole(2 * _MIB, _GIB), "size of a journal segment file")
    journal_seal_ms: int = setting(600_000, milliseconds,
        "longest time for which committed clicks stay in a journal's file when few visitors come")
    journal_kept_ms: int = setting(600_000, whole(0, 43_200_000),
        "time for which counted clicks stay in journals, to be shipped again if Postgres loses them; 0: none")
    journal_kept_bytes: int = setting(_GIB, whole(0, 1024 * _GIB),
        "disk of one edge for counted clicks; beyond it, the oldest go before their time")
    journal_max_bytes: int = setting(8 * _GIB, whole(4 * _MIB, 1024 * _GIB),
        "size of one edge's journal; beyond it, visitors are redirected and their clicks are not recorded")
    ship_window_bytes: int = setting(16 * _MIB, whole(_MIB, _GIB),
        "bytes of one journal that may be in Redis and not yet in Postgres")
    ship_linger_ms: int = setting(50, whole(1, 10_000), "longest wait of clicks before they are shipped")
    partitions_ahead_days: int = setting(14, whole(2, 365),
        "days for which partitions of clicks are made in advance")

    # Links
    slug_length: int = setting(6, whole(4, 32),
        "characters of slugs that the engine makes for links without one")
    private_targets: bool = setting(True, switch,
        "whether links may lead to hosts that are not on the public internet")
    blocklist: str = setting("", path,
        "file of hosts and hashes of URLs to which no link may lead, read again when it changes; unset: none")
    blocklist_urls: str = setting("", url_list(8),
        "up to 8 http or https URLs of further blocklists, with blanks between, on the public internet, each "
        "fetched once an hour by a worker; unset: none")
    chained_shorteners: str = setting("warn", one_of("allow", "warn", "refuse"),
        "targets at known shorteners: allowed, allowed with a warning, or refused")
    lookalike_hosts: str = setting("warn", one_of("allow", "warn", "quarantine", "refuse"),
        "targets whose host can be taken for a well-known one or for this engine's: allowed, with a warning, "
        "with the link quarantined, or refused")
    protected_hosts: str = setting("", host_list(100),
        "up to 100 hosts, separated by commas, beside well-known ones and this engine's of which others are "
        "lookalikes")
    new_account_days: int = setting(0, whole(0, 3_650),
        "days for which an account is new and limited, but for those of the first tenant; 0: none is limited")
    new_account_links: int = setting(500, whole(0, 1_000_000_000), "links that a new account creates a day")
    new_account_domains: int = setting(3, whole(0, 1_000_000), "domains that a new account adds a day")
    new_account_imports: int = setting(5, whole(0, 1_000_000), "imports that a new account begins a day")
    report_quarantine: int = setting(10, whole(0, 1_000),
        "visitors of a day whose reports quarantine a link until the operator has reviewed it; 0: none do")
    check_links: str = setting("public", one_of("public", "everywhere", "off"),
        "targets that are checked once a day: those on the public internet, private ones too, or none")
    github_url: str = setting("https://api.github.com", base_url,
        "URL of GitHub's API; for an Enterprise Server https://HOST/api/v3")
    github_token: str = setting("", token,
        "GitHub token; raises GitHub's limit from 60 to 5,000 requests per hour", secret=True)

    # Console
    api_reads_per_minute: int = setting(6_000, whole(0, 100_000),
        "reads per minute by one API key, or one user's sessions; 0: no limit")
    api_writes_per_minute: int = setting(3_000, whole(0, 100_000),
        "changes per minute by one API key, or one user's sessions; 0: no limit")
    stats_timeout_ms: int = setting(2_000, milliseconds, "time limit of one statement of a stats query")
    max_body_bytes: int = setting(_MIB, whole(1024, _GIB), "largest request body that the console accepts")
    max_import_bytes: int = setting(32 * _MIB, whole(1024, _GIB), "largest file of an import through the API")
    api_key: str = setting("", token,
        "API key of `waypost links` and `waypost mcp`; unset: that of the owner in the data folder",
        secret=True)
    storage_url: str = setting("", bucket_url,
        "bucket of pictures, such as s3://bucket/path, gs://bucket or az://container, with credentials in the "
        "store's own variables (AWS_ACCESS_KEY_ID, ...); unset: a folder in the data folder")
    session_hours: int = setting(168, whole(1, 8_784), "lifetime of a session of the console")

    # Mail
    smtp_url: str = setting("", parse_smtp_url,
        "server that sends mail: smtp://USER:PASSWORD@HOST:587 with STARTTLS, smtps:// with TLS, smtp+plain:// "
        "with neither; unset: no mail is sent", secret=True)
    mail_from: str = setting("", parse_mail_from, "sender of mail, as in Waypost <waypost@example.com>")

    # Workers
    fold_core: str = setting("auto", one_of("auto", "compiled", "python"),
        "what reads and packs clicks in a fold: compiled code, or Python; auto: compiled if it was built")
    lease_ttl_ms: int = setting(10_000, whole(500, 600_000),
        "lifetime of a lease on a stream or a webhook that its worker does not renew")
    jobs_kept_days: int = setting(7, whole(1, 365),
        "days for which ended jobs are kept; dead ones four times as long")
    webhook_concurrency: int = setting(8, whole(1, 100), "concurrent requests to one webhook")
    webhook_rate: int = setting(50, whole(1, 10_000), "requests per second to one webhook")
    webhook_loopback: bool = setting(False, switch,
        "whether webhooks may be sent to this machine's own addresses, by http too; for development")

    # Every process
    drain_timeout_ms: int = setting(20_000, milliseconds, "longest wait of a stop for work in flight")
    log_format: str = setting("text", one_of("text", "json"), "format of log lines: text or json")
    # fmt: on

    @property
    def new_accounts(self) -> str:
        """Return the limits of new accounts as JSON, for the database; empty for none."""
        limits = {
            "days": self.new_account_days,
            "links": self.new_account_links,
            "domains": self.new_account_domains,
            "imports": self.new_account_imports,
        }
        return json.dumps(limits) if self.new_account_days else ""

    @property
    def sessions_url(self) -> str:
        """Return the URL for what needs a whole session of Postgres."""
        return self.database_direct_url or self.database_url


SETTINGS: Final = declared_settings(Settings)

# Variables of the tests, and between the launcher and its children.
_OTHER_VARIABLES: Final = frozenset(
    {"WAYPOST_TEST_DATABASE_URL", "WAYPOST_TEST_REDIS_URL", "WAYPOST_PROCESS", "WAYPOST_HANDOVER"}
)
_VARIABLES: Final = _OTHER_VARIABLES | {setting.variable for setting in SETTINGS}


def read(
    environment: Mapping[str, str], *, database_only: bool = False, **overrides: Any
) -> Settings:
    """Return the defaults, replaced by `environment`, then by `overrides` that are not None.

    With `database_only`, DATABASE_URL may stand without REDIS_URL.

    Raises SettingsError naming the first invalid variable, or an unknown `WAYPOST_` one: ignoring a
    misspelt setting would hide the mistake.
    """
    values: dict[str, Any] = {}
    for declared in SETTINGS:
        text = environment.get(declared.variable, "")
        if text:
            try:
                values[declared.field] = declared.parse(text)
            except ValueError as error:
                # A URL may hold a password wherever an @ is.
                hidden = declared.secret or "@" in text
                value = "" if hidden else f" (it is {text[:100]!r})"
                raise SettingsError(f"{declared.variable} {error}{value}") from None
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in _VARIABLES:
            raise SettingsError(f"{variable} is not a setting of Waypost; see waypost --help")
    values.update({field: value for field, value in overrides.items() if value is not None})
    return _require_consistent(Settings(**values), database_only=database_only)


def _require_consistent(settings: Settings, *, database_only: bool) -> Settings:
    """Return `settings`. Raises SettingsError if two of them contradict each other."""
    alone = database_only and bool(settings.database_url)
    if not alone and bool(settings.database_url) != bool(settings.redis_url):
        present, missing = "DATABASE_URL", "REDIS_URL"
        if not settings.database_url:
            present, missing = missing, present
        raise SettingsError(
            f"{present} is set, {missing} is missing: set both, or neither for embedded servers"
        )
    if settings.database_direct_url and not settings.database_url:
        raise SettingsError("WAYPOST_DATABASE_DIRECT_URL is set, DATABASE_URL is missing: set both")
    if bool(settings.smtp_url) != bool(settings.mail_from):
        raise SettingsError("WAYPOST_SMTP_URL and WAYPOST_MAIL_FROM must be set both, or neither")
    if settings.journal_max_bytes < 2 * settings.journal_segment_bytes:
        raise SettingsError(
            "WAYPOST_JOURNAL_MAX_BYTES must be at least twice WAYPOST_JOURNAL_SEGMENT_BYTES"
        )
    return settings
