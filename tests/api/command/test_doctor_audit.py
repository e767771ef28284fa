"""`waypost doctor --audit` through its command line."""

from functools import partial

import pytest
from click.testing import CliRunner

from api.command.commands import cli
from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened
from tests.storage.audit.test_verification import ENTRIES, tamper, two_logged_profiles


@pytest.mark.slow
def test_the_result_is_one_line_and_an_exit_code(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fill() -> tuple[Caller, int, int]:
        async with opened(database_url) as open_role:
            return await two_logged_profiles(open_role)

    _, profile_id, _ = hosted_run(fill)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    result = CliRunner().invoke(cli, ["doctor", "--audit"])
    line = f"ok    audit     {ENTRIES} entries in 3 chains, each as it was written"
    assert (result.exit_code, result.output.splitlines()) == (0, [line])
    statement = f"UPDATE audit_log SET action = 'x' WHERE profile_id = {profile_id} AND seq = 2"
    hosted_run(partial(tamper, database_url, statement))
    result = CliRunner().invoke(cli, ["doctor", "--audit"])
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert f"profile {profile_id}: entry 2 is not as it was written" in line
    monkeypatch.setenv("DATABASE_URL", "postgresql://waypost@/waypost?host=/nonexistent")
    result = CliRunner().invoke(cli, ["doctor", "--audit"])
    # main() prints this error as one line, with exit code 2.
    assert isinstance(result.exception, UnavailableError)
