"""Settings: URLs of an API, and the secrecy of a token."""

from pathlib import Path

import pytest

from api.command.main import settings_help
from engine.common.errors import SettingsError
from engine.operations.settings import Settings, read

DOCS = Path(__file__).resolve().parents[3] / "docs"
# What the documents say of a setting's default, and the setting.
DOCUMENTED = {
    "api.md: read 6,000 and change 3,000 times per minute": ("api_reads_per_minute", 6_000),
    "api.md: 6,000 and change 3,000 times per minute": ("api_writes_per_minute", 3_000),
    "api.md: `WAYPOST_SESSION_HOURS` (a week)": ("session_hours", 7 * 24),
    "operations.md: `WAYPOST_JOBS_KEPT_DAYS` (7)": ("jobs_kept_days", 7),
    "operations.md: requests per second from one client address (200;": ("visits_per_second", 200),
    "webhooks.md: requests at once; null: the server's setting (8)": ("webhook_concurrency", 8),
    "webhooks.md: null: the server's setting (50)": ("webhook_rate", 50),
    "statistics.md: `WAYPOST_STATS_TIMEOUT_MS` (2 s)": ("stats_timeout_ms", 2_000),
    "design/failures.md: `WAYPOST_JOURNAL_SYNC_MS` (100 ms)": ("journal_sync_ms", 100),
    "design/failures.md: up to 400 ms until an edge sees the edit": ("poll_interval_ms", 400),
}


@pytest.mark.parametrize("sentence", DOCUMENTED)
def test_defaults_are_those_of_the_documents(sentence: str) -> None:
    file, _, words = sentence.partition(": ")
    assert words in " ".join((DOCS / file).read_text().split())
    field, default = DOCUMENTED[sentence]
    assert getattr(Settings(), field) == default


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://git.example/api/v3/", "https://git.example/api/v3"),
        ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
    ],
)
def test_the_url_of_an_api_has_no_slash_at_its_end(text: str, url: str) -> None:
    assert read({"WAYPOST_GITHUB_URL": text}).github_url == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a",
        "https://",
        "https://u:p@a",
        "https://a?b",
        "https://a#b",
        "https://a:x",
        "http://[",
    ],
)
def test_an_invalid_base_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="WAYPOST_GITHUB_URL"):
        read({"WAYPOST_GITHUB_URL": url})


def test_a_token_is_in_no_message_and_no_help() -> None:
    settings = read({"WAYPOST_GITHUB_TOKEN": "ghp_secret"})
    assert settings.github_token == "ghp_secret"
    assert "ghp_secret" not in repr(settings)
    with pytest.raises(SettingsError) as caught:
        read({"WAYPOST_GITHUB_TOKEN": "ghp_secret with blanks"})
    assert "ghp_secret" not in str(caught.value)
    assert "WAYPOST_GITHUB_TOKEN" in settings_help()
