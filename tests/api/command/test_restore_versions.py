"""Backups of Postgres 15, restored into 15 and into a later one; none of a later one into 15."""

from functools import partial
from pathlib import Path

import pytest

from engine.operations.backup import BackupError
from storage.migrations import migrate
from tests.conftest import execute, with_database
from tests.kit.backed_up import FOLDED, RECORDED, back_up, contents, fill, restore, settings
from tests.kit.debian_postgres import PROGRAMS, debian_postgres
from tests.kit.hosted import hosted_run

pytestmark = [
    pytest.mark.large,
    pytest.mark.skipif(not PROGRAMS.exists(), reason="needs Debian's postgresql-15"),
]


def test_postgres_15_is_backed_up_and_restored(
    bare_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with debian_postgres() as url:
        for name in ("original", "restored"):
            execute(url, f"CREATE DATABASE {name} TEMPLATE template0")
        original, restored = with_database(url, "original"), with_database(url, "restored")
        hosted_run(partial(migrate, original))
        file = tmp_path / "backup.tar"
        engine = fill(original, tmp_path / "data")
        manifest = back_up(engine, file)
        assert (manifest.postgres // 10_000, manifest.clicks) == (15, FOLDED)
        for number, target in enumerate((restored, bare_database_url)):
            result = restore(settings(target, redis_url), tmp_path / f"restored-{number}", file)
            assert result.uncounted.clicks == RECORDED - FOLDED
            assert contents(target) == contents(original)

        later = tmp_path / "later.tar"
        back_up(engine._replace(database_url=bare_database_url), later)
        execute(restored, "DROP SCHEMA waypost CASCADE")
        with pytest.raises(BackupError, match="is of Postgres 17, and the server is Postgres 15"):
            restore(settings(restored, redis_url), tmp_path / "refused", later)
