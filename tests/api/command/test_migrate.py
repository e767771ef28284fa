"""`waypost migrate`: which variables it needs."""

import pytest

from tests.kit.commands import CommandLine


@pytest.mark.slow
def test_it_needs_no_redis(
    waypost: CommandLine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    ended = waypost("migrate")
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.splitlines()[-1] == "the schema is up to date"


def test_it_names_the_variable_that_it_needs(
    waypost: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert "waypost migrate needs DATABASE_URL;" in waypost.refusal("migrate")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert "DATABASE_URL is missing" in waypost.refusal("migrate")
