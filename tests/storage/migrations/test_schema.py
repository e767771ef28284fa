"""schema.sql, compared with the schema after all migrations."""

import asyncio

import asyncpg
import pytest

from storage.embedded.wheel import postgres_wheel
from storage.migrations import schema

pytestmark = pytest.mark.slow


def test_the_schema_file_equals_the_migrated_schema(database_url: str) -> None:
    async def server_major() -> int:
        connection = await asyncpg.connect(database_url)
        try:
            return connection.get_server_version().major
        finally:
            await connection.close()

    if asyncio.run(server_major()) != postgres_wheel(None, schema.FILE).major:
        pytest.skip("pg_dump of the wheel writes the schema of another server's version otherwise")
    dumped = schema.dump(database_url)
    assert dumped == schema.FILE.read_text(), "run `python -m storage.migrations.schema`"
