"""pg_dump and psql as pipes: their arguments, and their failures in one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.operations.backup import BackupError
from storage.embedded.errors import EmbeddedError
from storage.embedded.wheel import PostgresWheel, postgres_client
from storage.operations.backup_dump import SchemaDump, _for_older_servers, dump, libpq_url, load
from tests.kit.hosted import hosted_run


@pytest.mark.parametrize(
    ("url", "plain", "password"),
    [
        ("postgresql://u@/d?host=/run&port=5432", "postgresql://u@/d?host=/run&port=5432", None),
        ("postgresql://u:p%40%3A@h:1,i:2/d", "postgresql://u@h:1,i:2/d", "p@:"),
        (
            "postgres://u@h/d?password=a%26b&sslmode=require",
            "postgres://u@h/d?sslmode=require",
            "a&b",
        ),
        ("postgresql://h?user=u&database=d", "postgresql://h?user=u&dbname=d", None),
        ("postgresql:///d", "postgresql:///d", None),
    ],
)
def test_a_password_is_in_no_argument(url: str, plain: str, password: str | None) -> None:
    assert libpq_url(url) == (plain, {"PGPASSWORD": password} if password else {})


def test_the_setting_that_servers_before_17_refuse_is_left_out() -> None:
    setting = b"SET transaction_timeout = 0;\n"
    script = b"SET lock_timeout = 0;\n" + setting + b"x" * 100_000 + setting
    chunks = [script[at : at + 10] for at in range(0, len(script), 10)]
    # Only at the front: further down it may be a text in a row.
    assert b"".join(_for_older_servers(iter(chunks))) == script.replace(setting, b"", 1)


def test_a_server_newer_than_every_pg_dump_is_refused_in_one_line() -> None:
    assert postgres_client(15).major >= 17
    with pytest.raises(EmbeddedError, match="the server is Postgres 99, and pg_dump") as refused:
        postgres_client(99)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_program_that_fails_says_why_in_one_line(database_url: str, tmp_path: Path) -> None:
    client, received = postgres_client(17), []

    async def sink(data: bytes) -> None:
        received.append(data)

    with pytest.raises(BackupError, match="pg_dump failed: pg_dump: error:") as refused:
        hosted_run(lambda: dump(client, database_url, "no-snapshot", sink))
    assert "\n" not in str(refused.value)
    missing = PostgresWheel(17, tmp_path)
    with pytest.raises(BackupError, match="pg_dump cannot be started: No such file"):
        hosted_run(lambda: dump(missing, database_url, "", sink))

    def endless() -> Iterator[bytes]:
        yield b"SELECT no_column;\n"
        while True:
            yield b"SELECT 1;\n" * 10_000

    schema = SchemaDump(endless(), {}, "")
    with pytest.raises(BackupError, match=r'psql failed: .*column "no_column" does not exist'):
        hosted_run(lambda: load(client, database_url, 170_000, schema))
