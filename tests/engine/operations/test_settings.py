"""Settings: what is refused, and what is shown of a secret."""

import pytest

from api.command.main import settings_help
from engine.common.errors import SettingsError
from engine.operations.settings import read


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://git.example/api/v3/", "https://git.example/api/v3"),
        ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
    ],
)
def test_the_url_of_an_api_has_no_slash_at_its_end(given: str, url: str) -> None:
    assert read({"WAYPOST_GITHUB_URL": given}).github_url == url


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
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(SettingsError, match="WAYPOST_GITHUB_URL"):
        read({"WAYPOST_GITHUB_URL": url})


def test_a_token_is_in_no_message_and_no_help() -> None:
    found = read({"WAYPOST_GITHUB_TOKEN": "ghp_secret"})
    assert found.github_token == "ghp_secret"
    assert "ghp_secret" not in repr(found)
    with pytest.raises(SettingsError) as caught:
        read({"WAYPOST_GITHUB_TOKEN": "ghp_secret with blanks"})
    assert "ghp_secret" not in str(caught.value)
    assert "WAYPOST_GITHUB_TOKEN" in settings_help()
