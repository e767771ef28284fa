"""schema.sql is what the migrations make."""

import asyncio

import asyncpg
import pytest

from storage.embedded.wheel import postgres_wheel
from storage.migrations import schema

pytestmark = pytest.mark.slow


def test_it_is_what_the_migrations_make(database_url: str) -> None:
    async def server_major() -> int:
        connection = await asyncpg.connect(database_url)
        try:
            return connection.get_server_version().major
        finally:
            await connection.close()

    if asyncio.run(server_major()) != postgres_wheel(None, schema.FILE).major:
        pytest.skip("pg_dump of the wheel writes the schema of another server's version otherwise")
    made = schema.dump(database_url)
    assert made == schema.FILE.read_text(), "run `python -m storage.migrations.schema`"
