"""Every command with a URL that cannot be used: one line, exit code 2, and no password."""

import sys
from pathlib import Path

import pytest

from api.command.main import main

DATABASE = "postgresql://ada:sesame@127.0.0.1:1/waypost"
REDIS = "redis://:sesame@127.0.0.1:1/0"
COMMANDS = {
    "up": ("up",),
    "serve": ("serve", "--roles", "edge"),
    "migrate": ("migrate",),
    "import": ("import", "links.csv"),
    "archive": ("archive", "ada", "file"),
    "erase": ("erase", "ada", "--yes"),
    "rebuild": ("rebuild", "--day", "2026-01-01"),
    "reclassify": ("reclassify",),
    "doctor": ("doctor",),
    "doctor --audit": ("doctor", "--audit"),
    "jobs": ("jobs",),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    monkeypatch.setenv("REDIS_URL", REDIS)
    monkeypatch.chdir(tmp_path)


def refusal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str
) -> str:
    """Run a command that must be refused. Returns its only line."""
    monkeypatch.setattr(sys, "argv", ["waypost", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    output, errors = capfd.readouterr()
    assert (ended.value.code, output) == (2, "")
    assert errors.startswith("waypost: ")
    assert errors.count("\n") == 1
    assert "sesame" not in errors
    return errors


@pytest.mark.parametrize("command", COMMANDS)
def test_a_malformed_url_is_one_line_of_every_command(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:12#sesame@127.0.0.1/waypost")
    assert "DATABASE_URL has a #" in refusal(monkeypatch, capfd, *COMMANDS[command])
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    monkeypatch.setenv("REDIS_URL", "redis+cluster://:sesame@127.0.0.1:1/3")
    assert "only database 0" in refusal(monkeypatch, capfd, *COMMANDS[command])


@pytest.mark.parametrize(
    ("variable", "url", "reason"),
    [
        ("DATABASE_URL", f"{DATABASE}?sslmode=verify-full", "no root certificate: add sslrootcert"),
        ("DATABASE_URL", f"{DATABASE}?sslrootcert=none.pem", "sslrootcert, which cannot be read"),
        ("DATABASE_URL", f"{DATABASE}?sslmode=require&sslkey=none", "sslkey, which cannot be read"),
        ("DATABASE_URL", f"{DATABASE}?sslrootcert=empty", "none in PEM format"),
        ("REDIS_URL", "rediss://:sesame@127.0.0.1:1?ssl_ca_certs=none.pem", "cannot be read"),
    ],
)
def test_a_missing_certificate_is_named(
    variable: str,
    url: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").touch()
    monkeypatch.setenv(variable, url)
    line = refusal(monkeypatch, capfd, "migrate")
    assert variable in line
    assert reason in line


def test_a_server_that_refuses_is_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "Postgres does not answer" in refusal(monkeypatch, capfd, "migrate")
