"""Commands on a database whose roles lack a right, and on one that has them all."""

import asyncio
import sys

import asyncpg
import pytest

from api.command.main import main

pytestmark = pytest.mark.slow

LACK = "role waypost_aggregator lacks INSERT on table waypost.clicks: run GRANT INSERT ON TABLE"


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_a_missing_right_is_named(
    database_url: str,
    redis_url: str,
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def run(*arguments: str) -> tuple[object, str, str]:
        """Return the exit code, standard output and standard error of a command."""
        monkeypatch.setattr(sys, "argv", ["waypost", *arguments, "--data", str(tmp_path)])
        try:
            main()
        except SystemExit as ended:
            return ended.code, *capfd.readouterr()
        return 0, *capfd.readouterr()

    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    code, _, errors = run("migrate")
    assert (code, errors) == (0, "")
    code, output, _ = run("doctor")
    assert code == 0, output
    assert "ok    rights    each role has what it needs" in output

    execute(database_url, "REVOKE INSERT ON waypost.clicks FROM waypost_aggregator")
    code, _, errors = run("migrate")
    assert code == 2
    assert errors.startswith(f"waypost: {LACK}")
    assert errors.count("\n") == 1
    for arguments in (("jobs",), ("erase", "ada", "--yes"), ("rebuild", "--day", "2026-01-01")):
        code, _, errors = run(*arguments)
        assert (code, errors.startswith(f"waypost: {LACK}")) == (2, True), (arguments, errors)
    code, output, _ = run("doctor")
    assert code == 1
    assert f"fail  rights    {LACK}" in output
