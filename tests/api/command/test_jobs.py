"""`waypost jobs` on given servers, through its command line."""

import pytest

from tests.kit.engines import waypost

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("arguments", [("jobs",), ("jobs", "cancel", "1")])
def test_a_missing_schema_is_reported_in_one_line(
    bare_database_url: str, arguments: tuple[str, ...]
) -> None:
    process = waypost(*arguments, DATABASE_URL=bare_database_url, REDIS_URL="redis://127.0.0.1:1")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "waypost: the schema is not up to date: run `waypost migrate`\n"


def test_an_unknown_job_is_reported_in_one_line(database_url: str) -> None:
    process = waypost(
        "jobs", "show", "7", DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1"
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "waypost: there is no such job\n"
