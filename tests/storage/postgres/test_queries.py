"""Named queries: each is used, states its purpose, and is valid SQL."""

from pathlib import Path

import pytest

from storage.postgres import queries
from storage.postgres.database import Connection
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

ROOT = Path(__file__).parents[3]
STORAGE = ROOT / "storage"
FILES = sorted(
    path.relative_to(STORAGE).with_suffix("").as_posix()
    for path in STORAGE.rglob("*.sql")
    if path.parent.name != "migrations"
)
ROLES = {
    "visits/snapshots": "waypost_edge",
    "clicks/ledger": "waypost_aggregator",
    "github/syncs": "waypost_aggregator",
    "links/health": "waypost_aggregator",
    "stats/dimension_counts": "waypost_aggregator",
    "stats/compaction": "waypost_aggregator",
    "stats/rebuild": "waypost_aggregator",
    "stats/daily": "waypost_aggregator",
}


@pytest.mark.parametrize("file", FILES)
def test_every_query_states_its_purpose(file: str) -> None:
    for name, query in queries.load(file).items():
        assert query.startswith("-- "), name


def test_every_query_is_used() -> None:
    code = "".join(path.read_text() for path in (ROOT / "storage").rglob("*.py"))
    for file in FILES:
        for name in queries.load(file):
            assert f'"{name}"' in code, f"{file}.sql: {name}"


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
@pytest.mark.parametrize(
    "file",
    [
        "links/profiles",
        "links/imports/import_rows",
        "visits/snapshots",
        "accounts/keys",
        "postgres/idempotency",
        "accounts/accounts",
        "accounts/sessions",
        "accounts/members",
        "accounts/invitations",
        "limits/shared_secret",
        "audit/audit_log",
        "audit/security_events",
        "github/github",
        "github/syncs",
        "links/health",
        "stats/dimension_counts",
        "stats/compaction",
        "stats/rebuild",
        "stats/daily",
    ],
)
async def test_every_query_is_valid(open_database: OpenDatabase, file: str) -> None:
    async def work(connection: Connection) -> None:
        for query in queries.load(file).values():
            await connection.prepare(query)

    database = await open_database(ROLES.get(file, "waypost_app"))
    await database.transaction(work)


def test_named_parameters_are_numbered_in_the_order_of_their_first_use() -> None:
    query = "SELECT :to::text, a[1:2], ':' FROM t WHERE a >= :from AND a < :to"
    text, values = queries.bind(query, {"from": 1, "to": 2, "unused": 3})
    assert text == "SELECT $1::text, a[1:2], ':' FROM t WHERE a >= $2 AND a < $1"
    assert values == [2, 1]
    with pytest.raises(KeyError):
        queries.bind(query, {"from": 1})
