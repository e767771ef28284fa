"""Named queries: every one is used, says its purpose, and is valid SQL."""

from importlib import resources
from pathlib import Path

import pytest

from storage import sql
from storage.postgres import Connection
from tests.hosted import hosted_run
from tests.storage.conftest import OpenDatabase

ROOT = Path(__file__).parents[2]
FILES = sorted(
    file.name.removesuffix(".sql")
    for file in resources.files(sql).iterdir()
    if file.name.endswith(".sql")
)
ROLES = {
    "snapshots": "waypost_edge",
    "ledger": "waypost_aggregator",
    "github_syncs": "waypost_aggregator",
    "link_health": "waypost_aggregator",
    "summaries": "waypost_aggregator",
    "compaction": "waypost_aggregator",
    "rebuild": "waypost_aggregator",
    "daily": "waypost_aggregator",
}


@pytest.mark.parametrize("file", FILES)
def test_every_query_says_its_purpose(file: str) -> None:
    for name, query in sql.load(file).items():
        assert query.startswith("-- "), name


def test_every_query_is_used() -> None:
    code = "".join(path.read_text() for path in (ROOT / "storage").rglob("*.py"))
    for file in FILES:
        for name in sql.load(file):
            assert f'"{name}"' in code, f"{file}.sql: {name}"


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
@pytest.mark.parametrize(
    "file",
    [
        "profiles",
        "bulk",
        "snapshots",
        "keys",
        "idempotency",
        "accounts",
        "sessions",
        "members",
        "invitations",
        "shared_secrets",
        "activity",
        "security_log",
        "github",
        "github_syncs",
        "link_health",
        "summaries",
        "compaction",
        "rebuild",
        "daily",
    ],
)
async def test_every_query_is_valid(open_database: OpenDatabase, file: str) -> None:
    async def work(connection: Connection) -> None:
        for query in sql.load(file).values():
            await connection.prepare(query)

    database = await open_database(ROLES.get(file, "waypost_app"))
    await database.transaction(work)
