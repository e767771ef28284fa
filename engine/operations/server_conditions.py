"""Conditions of Postgres and Redis under which clicks stand still or are lost, and nothing else says so."""

from typing import Final, NamedTuple

MIN_POSTGRES: Final = 15
MIN_REDIS: Final = (7, 0)
NOTED_SKEW_S: Final = 2.0
BAD_SKEW_S: Final = 60.0


class Condition(NamedTuple):
    """A condition of one server, with what to do. If it `fails`, clicks are counted wrongly or not at all."""

    server: str
    fails: bool
    text: str


class PostgresFacts(NamedTuple):
    """A Postgres server as its user sees it.

    `usable_connections` leaves out those reserved for superusers. `skew_s` is how far this machine's clock is
    ahead of the server's. Versions of the collation are empty where the provider has none.
    """

    major: int
    encoding: str
    standby: bool
    read_only: bool
    fsync: bool
    full_page_writes: bool
    synchronous_commit: bool
    usable_connections: int
    collation: str
    collation_now: str
    skew_s: float


class RedisFacts(NamedTuple):
    """A Redis or Valkey server as its user sees it; of a cluster, one node.

    What the server refuses to tell is empty. `refusals` are the errors of commands that the engine needs.
    """

    name: str
    version: str
    replica: bool
    maxmemory_policy: str
    refusals: tuple[str, ...]


_Row = tuple[bool, bool, str]  # whether it applies, whether it fails, and its text


def postgres_conditions(facts: PostgresFacts, needed_connections: int) -> list[Condition]:
    """Return the conditions of the server.

    `needed_connections` is the number that one machine's processes may open.
    """
    rows = [*_database_rows(facts), *_clock_rows(facts.skew_s), *_durability_rows(facts)]
    rows.append(
        (
            facts.usable_connections < needed_connections,
            False,
            f"allows {facts.usable_connections} connections, and one machine's processes may open "
            f"{needed_connections}: raise max_connections or lower WAYPOST_DATABASE_POOL",
        )
    )
    return _conditions("postgres", rows)


def _database_rows(facts: PostgresFacts) -> list[_Row]:
    return [
        (
            facts.major < MIN_POSTGRES,
            True,
            f"version {facts.major}: Postgres {MIN_POSTGRES} or later is needed",
        ),
        (
            facts.encoding != "UTF8",
            True,
            f"the database has the encoding {facts.encoding}: create one with UTF8",
        ),
        (
            facts.standby,
            True,
            "is a standby, to which nothing can be written: name the primary in DATABASE_URL, or all "
            "servers with target_session_attrs=read-write",
        ),
        (
            facts.read_only and not facts.standby,
            True,
            "is read-only: set default_transaction_read_only to off for this user and database",
        ),
        (
            facts.collation != facts.collation_now,
            False,
            f"the database's collation has version {facts.collation or 'unknown'}, the system's "
            f"{facts.collation_now or 'unknown'}: REINDEX DATABASE, then ALTER DATABASE ... REFRESH "
            "COLLATION VERSION",
        ),
    ]


def _clock_rows(skew_s: float) -> list[_Row]:
    ahead = "ahead of" if skew_s > 0 else "behind"
    skew = f"this machine's clock is {abs(skew_s):.0f} s {ahead} the server's"
    return [
        (
            abs(skew_s) > BAD_SKEW_S,
            True,
            f"{skew}, so clicks are counted at the wrong time: synchronise the clocks (NTP)",
        ),
        (
            NOTED_SKEW_S < abs(skew_s) <= BAD_SKEW_S,
            False,
            f"{skew}: synchronise the clocks (NTP)",
        ),
    ]


def _durability_rows(facts: PostgresFacts) -> list[_Row]:
    return [
        (
            not facts.fsync,
            False,
            "fsync is off: a power loss can destroy the database; turn it on",
        ),
        (
            not facts.full_page_writes,
            False,
            "full_page_writes is off: a power loss can destroy pages; turn it on",
        ),
        (
            not facts.synchronous_commit,
            False,
            "synchronous_commit is off: a crash of the server takes back clicks that were counted; turn it "
            "on",
        ),
    ]


def redis_conditions(facts: RedisFacts) -> list[Condition]:
    """Return the conditions of the server."""
    known = facts.name == "Redis" and facts.version
    rows: list[_Row] = [
        (
            bool(known) and _version(facts.version) < MIN_REDIS,
            True,
            f"version {facts.version}: Redis {MIN_REDIS[0]}.{MIN_REDIS[1]} or later is needed",
        ),
        (
            facts.replica,
            True,
            "is a replica, to which nothing can be written: name the primary in REDIS_URL",
        ),
        *((True, True, f"refuses {refusal}: change the user's ACL") for refusal in facts.refusals),
        (
            facts.maxmemory_policy not in ("", "noeviction"),
            False,
            f"maxmemory-policy is {facts.maxmemory_policy}: evicted clicks are shipped again, which costs "
            "time, and evicted rate limits begin anew; set it to noeviction",
        ),
    ]
    return _conditions("redis", rows)


def _conditions(server: str, rows: list[_Row]) -> list[Condition]:
    return [Condition(server, fails, text) for applies, fails, text in rows if applies]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
