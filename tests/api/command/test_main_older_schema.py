"""`waypost migrate` on a database of an older baseline, as an operator runs it."""

from functools import partial

import pytest

from storage.migrations import migrate, migrations
from tests.kit.engines import waypost
from tests.kit.hosted import hosted_run

pytestmark = pytest.mark.slow


def test_it_is_refused_in_one_line(bare_database_url: str) -> None:
    older = [file._replace(name="0001_tenancy.sql") for file in migrations()[:1]]
    hosted_run(partial(migrate, bare_database_url, older))
    done = waypost("migrate", DATABASE_URL=bare_database_url, REDIS_URL="redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("waypost: this database was made by an earlier version")
    assert done.stderr.count("\n") == 1
