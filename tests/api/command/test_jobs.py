"""`waypost jobs` on a database of one's own, as a person runs it."""

import pytest

from tests.kit.engines import waypost

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("arguments", [("jobs",), ("jobs", "cancel", "1")])
def test_a_schema_that_is_not_there_is_said_in_one_line(
    bare_database_url: str, arguments: tuple[str, ...]
) -> None:
    done = waypost(*arguments, DATABASE_URL=bare_database_url, REDIS_URL="redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "waypost: the schema is not up to date: run `waypost migrate`\n"


def test_a_job_that_is_not_there_is_said_in_one_line(database_url: str) -> None:
    done = waypost("jobs", "show", "7", DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "waypost: there is no such job\n"
