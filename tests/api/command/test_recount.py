"""`waypost rebuild` and `waypost reclassify`: their output in a log."""

import pytest

from api.command.recount import LineProgress
from tests.kit.commands import CommandLine


def test_lines_follow_the_time_and_not_the_days(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = LineProgress(lambda: now)
    for day in range(91):
        now += 0.5
        progress.report("2026-01-01", day + 1, 91)
    output, errors = capsys.readouterr()
    assert output == ""
    assert [line.split()[1] for line in errors.splitlines()] == ["20", "40", "60", "80"]


@pytest.mark.slow
def test_a_short_recount_is_one_line(
    waypost: CommandLine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert waypost("reclassify") == (0, "classified 0 clicks again, on 0 days of profiles\n", "")
