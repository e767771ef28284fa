"""Settings: URLs of an API, and the secrecy of a token."""

import pytest

from api.command.help import settings_help
from engine.common.errors import SettingsError
from engine.operations.settings import read


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


def test_sessions_bypass_a_pooler_where_its_server_is_named() -> None:
    pooler, server = "postgresql://waypost@pooler:6432/w", "postgresql://waypost@db:5432/w"
    servers = {"DATABASE_URL": pooler, "REDIS_URL": "redis://127.0.0.1"}
    assert read(servers).sessions_url == pooler
    settings = read(servers | {"WAYPOST_DATABASE_DIRECT_URL": server})
    assert (settings.database_url, settings.sessions_url) == (pooler, server)
    with pytest.raises(SettingsError, match="DATABASE_URL is missing"):
        read({"WAYPOST_DATABASE_DIRECT_URL": server})


@pytest.mark.parametrize(
    "url", ["https://go.example/l", "https://go.example/?a", "https://", "ftp://go.example"]
)
def test_visitors_reach_a_host_and_no_path_of_it(url: str) -> None:
    with pytest.raises(SettingsError, match="WAYPOST_VISITORS_URL"):
        read({"WAYPOST_VISITORS_URL": url})
