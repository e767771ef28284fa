"""Each number that the documents state is the number in the code.

Tests of behaviour use the code's names; here each name has the value that a document promises.
"""

from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import pytest

from tests.architecture.sources import ROOT

_DAY_S = 86_400
_MIB = 1024**2


class Limit(NamedTuple):
    """Words of a document, and the attribute of a module (`module:NAME.field`) that must have the value."""

    doc: str
    words: str
    name: str
    value: Any


Rows = list[tuple[str, str, Any]]
API: Rows = [
    ("read 6,000 and change", "engine.operations.settings:Settings().api_reads_per_minute", 6_000),
    ("change 3,000 times per minute", "engine.operations.settings:Settings().api_writes_per_minute", 3_000),
    ("(1-100, 50 if left out)", "api.http.query:MAX_LIMIT", 100),
    ("(1-100, 50 if left out)", "api.http.query:DEFAULT_LIMIT", 50),
    ("1-200 letters of any script", "engine.links.name:MAX_NAME_CHARS", 200),
    ("up to 100 changes of links in one transaction", "api.links.bulk:MAX_OPERATIONS", 100),
    ("stores the response for 24 hours", "engine.common.idempotency:RETENTION", timedelta(hours=24)),
    ("may let nine requests more pass", "engine.limits.credit:MAX_UNCHARGED_UNITS", 9),
    ("After 300 bad credentials within a minute", "api.http.rate_limits:BAD_CREDENTIALS.units", 300),
    ("250 of a console's 1,000 connections", "api.http.connection:ConsoleLimits().connections_each", 250),
    ("250 of a console's 1,000 connections", "api.http.connection:ConsoleLimits().connections", 1_000),
    ("take 3,000 requests per minute from an address", "api.http.rate_limits:PUBLIC.units", 3_000),
    ("After 300 bad credentials within a minute", "api.http.rate_limits:BAD_CREDENTIALS.period_s", 60),
    ("then every 6 hours", "engine.github.repository:SYNC_PERIOD", timedelta(hours=6)),
    ("then looks again once a day", "engine.github.repository:GONE_PERIOD", timedelta(days=1)),
    ("after 1, 5, 30 and 120 minutes", "engine.github.sync:RETRIES",
     tuple(timedelta(minutes=n) for n in (1, 5, 30, 120))),
    ("possible once per minute and link", "engine.github.repository:SYNC_REQUEST_INTERVAL_S", 60),
    ("checks each link's target once a day", "engine.links.health:CHECK_PERIOD", timedelta(days=1)),
    ("over up to five redirects", "engine.links.health:MAX_HOPS", 5),
    ("if it happens again an hour later", "engine.links.health:RETRY_AFTER", timedelta(hours=1)),
    ("A profile has up to ten members", "engine.accounts.access:MAX_MEMBERS", 10),
    ("10 to 1,000 characters", "engine.accounts.account:MIN_PASSWORD_CHARS", 10),
    ("10 to 1,000 characters", "engine.accounts.account:MAX_PASSWORD_CHARS", 1_000),
    ("`WAYPOST_SESSION_HOURS` (a week)", "engine.operations.settings:Settings().session_hours", 7 * 24),
    ("a user has at most 50", "engine.accounts.account:MAX_SESSIONS", 50),
    ("An account has 5 attempts per minute", "api.accounts.login_throttle:ACCOUNT.units", 5),
    ("a client address (IPv6: a /64) 20", "api.accounts.login_throttle:ADDRESS.units", 20),
    ("on other machines within 5 seconds", "api.http.key_cache:CACHE_S", 5.0),
    ("An address may ask 3 times per hour", "api.accounts.login_throttle:RESET_ACCOUNT.units", 3),
    ("An address may ask 3 times per hour", "api.accounts.login_throttle:RESET_ACCOUNT.period_s", 3_600),
    ("a client 20 times", "api.accounts.login_throttle:RESET_ADDRESS.units", 20),
    ("`…/setup#wpo_…`, which works once, for an hour", "engine.accounts.recovery:SETUP_LIFETIME",
     timedelta(hours=1)),
    ("whose token works once, for an hour", "engine.accounts.recovery:RESET_LIFETIME", timedelta(hours=1)),
    ("A user can have 100 valid keys", "engine.accounts.api_key:MAX_KEYS", 100),
    ("(7 days; 1 to 90)", "engine.accounts.member:DEFAULT_EXPIRY_DAYS", 7),
    ("(7 days; 1 to 90)", "engine.accounts.member:MAX_EXPIRY_DAYS", 90),
    ("list open invitations, 50 at most", "engine.accounts.member:MAX_INVITATIONS", 50),
    ("first use of a key in an hour", "actors.audit.security_log:KEY_USED_INTERVAL_S", 3_600.0),
]  # fmt: skip
EXPERIMENTS: Rows = [
    ("`wp_v`, random, HttpOnly, SameSite=Lax, 180 days", "api.visits.responses:COOKIE_AGE_S", 180 * _DAY_S),
    ("signed, good for a day", "api.experiments.explain:PREVIEW", timedelta(days=1)),
    ("Up to 100 experiments of a profile are not archived", "engine.experiments.experiment:MAX_EXPERIMENTS",
     100),
    ("8 run on the page, and 8 on one link", "engine.clicks.record_items:MAX_VARIANT_REFS", 8),
    ("Rows of visitors are deleted two days after their day", "storage.experiments.counts:RETENTION_DAYS", 2),
    ("from 50 conversions in each variant on",
     "engine.experiments.verdict.confidence_sequence:FLOOR_CONVERSIONS", 50),
    ("| `alpha` | 0.05 |", "engine.experiments.analysis:Analysis().alpha", 0.05),
    ("| `margin` | 0 |", "engine.experiments.analysis:Analysis().margin", 0.0),
    ("| `min_visitors` | 0 |", "engine.experiments.analysis:Analysis().min_visitors", 0),
    ("| `tuning_visitors` | 5000 |", "engine.experiments.analysis:Analysis().tuning_visitors", 5_000),
    ("| `on_decision` | `none` |", "engine.experiments.analysis:Analysis().on_decision", "none"),
    ('`{"floor": 0.05, "every_minutes": 60}`', "engine.experiments.analysis:BanditPolicy().floor", 0.05),
    ('`{"floor": 0.05, "every_minutes": 60}`', "engine.experiments.analysis:BanditPolicy().every_minutes", 60),
    ("Up to 1,000 conversions at once", "engine.experiments.conversion:MAX_AT_ONCE", 1_000),
    ("(an alarm at p < 0.001)", "engine.experiments.verdict.srm:ALPHA", 0.001),
    ("(a week; up to 30 days)", "engine.experiments.experiment:DEFAULT_ATTRIBUTION_HOURS", 7 * 24),
    ("(a week; up to 30 days)", "engine.experiments.experiment:ATTRIBUTION_HOURS.stop", 30 * 24 + 1),
    ("at the latest 31 days after the click", "engine.experiments.conversion:MAX_AGE", timedelta(days=31)),
    ("takes 120 requests a minute from an address", "api.experiments.conversion_ingest:SCRIPT.units", 120),
    ("a hook 6,000", "api.experiments.conversion_ingest:HOOK.units", 6_000),
]  # fmt: skip
CONVERSIONS: Rows = [
    ("With `secrets` (up to 3,", "engine.experiments.conversion_hook:MAX_SECRETS", 3),
    ("`Stripe-Signature`, within 5 minutes", "engine.experiments.shops.shop_signature:TOLERANCE",
     timedelta(minutes=5)),
    ("within **30 days** of it", "engine.stats.conversion_question:ATTRIBUTION", timedelta(days=30)),
    ("within about two seconds after both", "actors.experiments.dimension_copier:POLL_S", 2.0),
    ("not found for three days", "storage.experiments.conversion_dimensions:LOOK_FOR_DAYS", 3),
]  # fmt: skip
OPERATIONS: Rows = [
    ("at 32, further logins are answered 503", "storage.accounts.passwords:MAX_WAITING", 32),
    ("at 256 a worker claims no more", "actors.webhooks.courier:DEFAULT_LIMITS.in_flight", 256),
    ("An actor that crashes three times within a minute", "engine.operations.actor_tree:CRASH_LOOP_COUNT", 3),
    ("After more than 5 crashes in a minute", "actors.operations.supervisor:GROUP_INTENSITY", 5),
    ("after more than 10 restarts of groups in a minute", "actors.operations.supervisor:INTENSITY", 10),
    ("after more than 10 restarts of groups in a minute", "actors.operations.supervisor:PERIOD_S", 60.0),
    ("a random time up to 2 s, doubled with each failure", "engine.jobs.job:FIRST_RETRY_S", 2.0),
    ("doubled with each failure up to an hour", "engine.jobs.job:LONGEST_RETRY_S", 3_600.0),
    ("are claimed again within 20 s", "actors.jobs.worker:RESCUE_S", 5.0),
    ("purged after `WAYPOST_JOBS_KEPT_DAYS` (7)", "engine.operations.settings:Settings().jobs_kept_days", 7),
    ("their profile's `raw_retention_days` (90)", "engine.links.profile:RETENTION_DAYS", 90),
    ("each edge sees it within two seconds", "actors.visits.places:INTERVAL_S", 2.0),
    ("Each request ends within 10 s and reads at most 2 MiB", "storage.github.api:TOTAL_S", 10.0),
    ("Each request ends within 10 s and reads at most 2 MiB", "engine.github.conversation:MAX_BODY_BYTES",
     2 * _MIB),
    ("16 hosts at once", "actors.links.health_checks:CONCURRENCY", 16),
    ("one probe per host at a time with a pause of a second", "actors.links.health_checks:PAUSE_S", 1.0),
    ("(5,000 links per minute are examined)", "actors.links.health_checks:DISCOVER_LINKS", 1_000),
    ("(5,000 links per minute are examined)", "actors.links.health_checks:DISCOVER_ROUNDS", 5),
    ("Each check takes at most 10 s", "actors.links.health_checks:CHECK_S", 10.0),
    ("`Waypost/0.1 (link check, once a day)`", "storage.links.prober:USER_AGENT",
     "Waypost/0.1 (link check, once a day)"),
    ("`waypost.events` and `waypost.deliveries` after 30 days", "engine.webhooks.delivery:RETENTION_DAYS", 30),
]  # fmt: skip
PRIVACY: Rows = [
    ("a pseudonym of 8 bytes", "engine.clicks.click:VISITOR_BYTES", 8),
    ("The key is 32 random bytes for one UTC day", "engine.visits.pseudonym:KEY_BYTES", 32),
    ("It is made ten minutes before its day begins", "engine.visits.daily_key:PREPARE_US", 600_000_000),
    ("forgotten 47 hours after that day began", "engine.visits.daily_key:KEPT_US", 47 * 3_600_000_000),
    ("finds the file two days old", "storage.visits.daily_keys:STALE_S", 2 * _DAY_S),
    ("Within ten seconds of Redis' return", "actors.visits.daily_keys:GREET_S", 10.0),
    ("The first sweep is done within two minutes", "engine.privacy.erasure:FIRST_SWEEP_AFTER_S", 2.0),
    ("others follow for a week", "engine.privacy.erasure:SWEEP_INTERVALS_S",
     (120.0, 1_800.0, 100_000.0, 600_000.0)),
]  # fmt: skip
STATISTICS: Rows = [
    ("the last 30 days", "engine.stats.period:DEFAULT_DAYS", 30),
    ("`15m` (up to 31 days), `hour` (366), `day` (3,660)", "engine.stats.period:LONGEST_DAYS",
     {"15m": 31, "hour": 366, "day": 3_660, "week": 36_600, "month": 36_600,
      "quarter": 36_600, "year": 36_600}),
    ("how many groups, up to 1,000", "engine.stats.query_parser:MAX_LIMIT", 1_000),
    ("| 100; 10 by time |", "engine.stats.query:DEFAULT_LIMIT", 100),
    ("| 100; 10 by time |", "engine.stats.query_parser:DEFAULT_SERIES", 10),
    ("only these values, up to 50", "engine.stats.parameters.filter_values:MAX_VALUES", 50),
    ("up to `3660d`", "engine.stats.parameters.named_period:MAX_DAYS", 3_660),
    ("of Monday in `tz`, for up to 366 days", "engine.stats.query_parser:HOUR_OF_WEEK_DAYS", 366),
    ("answers up to 20 questions", "api.stats.batch:MAX_QUESTIONS", 20),
    ("counts the visitors of the last five minutes", "api.stats.batch:ACTIVE_S", 300),
    ("lists up to 50 of the latest clicks", "api.stats.batch:MAX_LATEST", 50),
    ("latest clicks and views of seven days", "storage.stats.reading.recent:LATEST_DAYS", 7),
    ("no question begins after 10 seconds", "storage.stats.reader:MAX_BATCH_S", 10.0),
    ("for up to 20 profiles", "api.stats.stats:MAX_PROFILES", 20),
    ("Up to eight filters are and-ed", "engine.stats.query_parser:MAX_FILTERS", 8),
    ("groups times intervals must not exceed 20,000", "engine.stats.query:MAX_ROWS", 20_000),
    ("`WAYPOST_STATS_TIMEOUT_MS` (2 s)", "engine.operations.settings:Settings().stats_timeout_ms", 2_000),
    ("100 or 200 of a profile and 50 of a link", "engine.clicks.dimension:MAX_VALUES", 200),
    ("100 or 200 of a profile and 50 of a link", "engine.clicks.dimension:MAX_VALUES_OPEN_ENDED", 100),
    ("100 or 200 of a profile and 50 of a link", "engine.stats.dimension_counts:MAX_VALUES_PER_LINK", 50),
    ("for up to 500,000 clicks in the period", "storage.stats.crossed:MAX_CROSSED", 500_000),
    ("count up to 4,000,000 clicks", "storage.stats.packed_sums:MAX_CLICKS", 4_000_000),
    ("up to 50,000 groups", "storage.stats.crossed:MAX_GROUPS", 50_000),
    ("a period with visitors has 31 days at most", "engine.stats.query_parser:VISITORS_BY_HOUR_DAYS", 31),
    ("For five seconds a 304 does not check again", "api.stats.stats:SEEN_S", 5.0),
    ("Of many clicks committed at once 50 are sent", "engine.stats.live:MAX_CLICKS_PER_UPDATE", 50),
    ("A profile has up to 500 annotations and 100 saved questions",
     "engine.stats.dashboards.item:MAX_ANNOTATIONS", 500),
    ("A profile has up to 500 annotations and 100 saved questions",
     "engine.stats.dashboards.item:MAX_SAVED_QUESTIONS", 100),
    ("a text of up to 200 characters at a day", "engine.stats.dashboards.item:MAX_TEXT_CHARS", 200),
    ("the top five links", "engine.stats.dashboards.digest:MAX_GROUPS", 5),
    ("A stream lasts ten minutes at most", "api.stats.live:MAX_S", 600.0),
    ("fewer than 30 seconds have passed", "actors.stats.live_subscribers:KEEP_S", 30.0),
    ("no more than 500 clicks", "actors.stats.live_clicks:MAX_KEPT", 500),
    ("six at once for a user", "actors.stats.live_subscribers:MAX_OF_USER", 6),
    ("50 for a profile (429)", "actors.stats.live_subscribers:MAX_OF_PROFILE", 50),
    ("600 for a console (503), of 200 profiles", "actors.stats.live_subscribers:MAX_OF_PROCESS", 600),
    ("(503), of 200 profiles", "actors.stats.live_subscribers:MAX_PROFILES", 200),
    ("two exports at a time", "api.stats.export:MAX_AT_ONCE", 2),
]  # fmt: skip
WEBHOOKS: Rows = [
    ("A profile has up to 20 webhooks", "engine.webhooks.webhook:MAX_WEBHOOKS", 20),
    (
        "null: the server's setting (8)",
        "engine.operations.settings:Settings().webhook_concurrency",
        8,
    ),
    ("null: the server's setting (50)", "engine.operations.settings:Settings().webhook_rate", 50),
    (
        "the first 4,096 bytes of its body are kept",
        "engine.webhooks.delivery:KEPT_RESPONSE_BYTES",
        4_096,
    ),
    ("Of a response, 32 KiB are read", "storage.http.public_network:MAX_WIRE_BYTES", 32 * 1024),
    ("Any 2xx within 15 seconds", "engine.webhooks.delivery:ATTEMPT_TIMEOUT_S", 15.0),
]
COUNTING: Rows = [
    ("These are rules version 3", "engine.visits.classifier:RULES_VERSION", 3),
    (
        "the last view, within 30 minutes, that named a way",
        "engine.visits.entrance:KEPT_US",
        1_800_000_000,
    ),
    ("to the other edges about every 30 ms by Redis", "actors.visits.entrances:_LINGER_S", 0.03),
    ("an eighth for one profile", "engine.visits.entrance:MAX_OF_PROFILE", 8),
    ("every zone's hours and days since 2000", "engine.stats.period:FIRST.year", 2_000),
    ("by quarters of an hour of UTC", "engine.clicks.rollup:TIME_BUCKET_US", 900_000_000),
]
DESIGN = [
    ("design/clicks.md", "or 64 MiB behind in syncing", "storage.clicks.journal:_MAX_UNSYNCED_BYTES",
     64 * _MIB),
    ("design/clicks.md", "| of more than 2,000 clicks, and not thin |",
     "engine.stats.profile_day:HOT_CLICKS", 2_000),
    ("design/clicks.md", "with fewer than 5,000 clicks in deltas",
     "engine.stats.profile_day:HOT_DELTA_CLICKS", 5_000),
    ("design/clicks.md", "| today's, with more than 64 deltas |", "engine.stats.profile_day:MAX_DELTAS", 64),
    ("design/clicks.md", "| finished, with 64 clicks or more |", "storage.stats.settling:PACKED_FROM", 64),
    ("design/clicks.md", "Finished months of up to 8,000 clicks", "storage.stats.months:MAX_CLICKS", 8_000),
    ("design/statistics.md", "at most 500,000 of them", "storage.stats.crossed:MAX_CROSSED", 500_000),
    ("design/failures.md", "`WAYPOST_JOURNAL_SYNC_MS` (100 ms)",
     "engine.operations.settings:Settings().journal_sync_ms", 100),
    ("design/failures.md", "up to 400 ms until an edge sees the edit",
     "engine.operations.settings:Settings().poll_interval_ms", 400),
    ("design/failures.md", "or a check within 2 s, and clicks are shipped again",
     "actors.clicks.shipper:LOOK_FOR_LOSS_S", 2.0),
    ("design/jobs.md", "A lease lasts 15 s", "actors.jobs.worker:LEASE_S", 15.0),
    ("design/statistics.md", "a HyperLogLog of 2^15 registers", "engine.stats.sketch:LG_K", 15),
    ("operations.md", "What has work and has not moved for 10 s is not ready",
     "engine.operations.progress:STALL_S", 10.0),
    ("operations.md", "inspects both servers every 15 s", "api.processes.server_watch:INTERVAL_S", 15.0),
    ("operations.md", "an edge kept more than 64 MiB of heads",
     "api.visits.head_memory:MAX_KEPT_BYTES", 64 * _MIB),
    ("backup.md", "`WAYPOST_JOURNAL_KEPT_MS` (10 minutes)",
     "engine.operations.settings:Settings().journal_kept_ms", 600_000),
    ("design/visitors.md", "A head may have 16 KiB",
     "engine.operations.settings:Settings().max_head_bytes", 16 * 1024),
    ("design/visitors.md", "its first line 8 KiB", "api.visits.head:MAX_REQUEST_LINE_BYTES", 8 * 1024),
    ("experiments.md", "`tuning_visitors` | 5000",
     "engine.experiments.verdict.confidence_sequence:DEFAULT_TUNING_VISITORS", 5000),
    ("design/scale.md", "Postgres 15 and Redis 7.0 are enough",
     "engine.operations.server_conditions:MIN_POSTGRES", 15),
    ("design/scale.md", "Postgres 15 and Redis 7.0 are enough",
     "engine.operations.server_conditions:MIN_REDIS", (7, 0)),
    ("../ARCHITECTURE.md", "asks Postgres for up to 500 paths at once",
     "actors.visits.registry:MAX_PATHS_A_QUERY", 500),
    ("../ARCHITECTURE.md", "at most every 5 ms", "actors.visits.registry:FIND_INTERVAL_S", 0.005),
    ("../ARCHITECTURE.md", "up to 64 ready sockets a wake-up", "api.visits.server:BATCH", 64),
]  # fmt: skip
PAGES = {
    "api.md": API, "counting.md": COUNTING, "experiments.md": EXPERIMENTS,
    "conversions.md": CONVERSIONS,
    "operations.md": OPERATIONS, "privacy.md": PRIVACY,
    "statistics.md": STATISTICS, "webhooks.md": WEBHOOKS,
}  # fmt: skip
LIMITS = [Limit(page, *row) for page, rows in PAGES.items() for row in rows]
LIMITS += [Limit(*row) for row in DESIGN]


@cache
def prose(page: str) -> str:
    return " ".join((ROOT / "docs" / page).read_text().split())


def value_of(name: str) -> Any:
    """Return the value of `module:NAME`, `module:NAME.field` or `module:NAME().field`."""
    module, _, path = name.partition(":")
    value: Any = import_module(module)
    for step in path.split("."):
        value = getattr(value, step.removesuffix("()"))
        value = value() if step.endswith("()") else value
    return value


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.doc}: {limit.name}")
def test_each_limit_is_the_one_that_the_documents_name(limit: Limit) -> None:
    assert limit.words in prose(limit.doc)
    assert value_of(limit.name) == limit.value
