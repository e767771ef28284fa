"""URLs of repositories, and their due times."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.github.repository import (
    GONE_PERIOD,
    SYNC_PERIOD,
    Repository,
    next_due_at,
    parse_repository_url,
    web_host,
)
from engine.links import target

NOW = datetime(2026, 3, 15, 10, 7, tzinfo=UTC)
OWNERS = st.from_regex(r"[A-Za-z0-9]{1,10}(-[A-Za-z0-9]{1,10})?", fullmatch=True).filter(
    lambda owner: parse_repository_url(f"https://github.com/{owner}/x") is not None
)
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(
    lambda name: not name.endswith(".git")
)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/python-trio/trio",
        "http://github.com/python-trio/trio",
        "https://www.github.com/python-trio/trio/",
        "https://GitHub.com/python-trio/trio.git",
        "https://github.com/python-trio/trio/tree/main/src?tab=readme#top",
        "https://github.com:443/python-trio/trio",
        "https://github.com/x/../python-trio/trio",
        "https://github.com\\python-trio\\trio",
        "  https://github.com/python-trio/trio",
    ],
)
def test_a_repositorys_page_and_pages_below_it_name_the_repository(url: str) -> None:
    assert parse_repository_url(url) == Repository("python-trio", "trio")


@pytest.mark.parametrize(
    "url",
    [
        "", "github.com/a/b", "https://github.com", "https://github.com/", "https://github.com/a",
        "https://github.com/a/", "https://github.com//b", "https://github.com/a//b",
        "ftp://github.com/a/b", "ssh://git@github.com/a/b", "git@github.com:a/b.git",
        "javascript:github.com/a/b", "https://user@github.com/a/b", "https://:x@github.com/a/b",
        "https://github.com@evil.example/a/b", "https://evil.example/github.com/a/b",
        "https://evil.example\\@github.com/a/b", "https://github.com.evil.example/a/b",
        "https://evilgithub.com/a/b", "https://gist.github.com/a/b", "https://api.github.com/a/b",
        "https://github.com./a/b", "https://github.com:8443/a/b", "https://gıthub.com/a/b",
        "https://github.com/a/.git", "https://github.com/a/..git/x/%2e%2e", "https://github.com/a/...git/c",
        "https://github.com/a%2fb/c", "https://github.com/a/b%00", "https://github.com/a/b%20c",
        "https://github.com/-a/b", "https://github.com/a-/b", "https://github.com/a/ü",
        "https://github.com/" + "a" * 40 + "/b", "https://github.com/a/" + "b" * 101,
        "https://github.com/orgs/python-trio", "https://github.com/Settings/profile",
        "https://github.com/topics/trio", "https://[::1]/a/b", "\ud800",
    ],
)  # fmt: skip
def test_other_urls_name_no_repository(url: str) -> None:
    assert parse_repository_url(url) is None


@given(OWNERS, NAMES, st.sampled_from(["", "/", ".git", "/issues/7", "?a=/b/c", "#/x/y"]))
def test_owner_and_name_are_parsed_as_they_are_spelt(owner: str, name: str, tail: str) -> None:
    repository = parse_repository_url(f"https://github.com/{owner}/{name}{tail}")
    assert repository == Repository(owner, name)
    assert parse_repository_url(f"https://github.com/{repository.full_name}") == repository
    assert repository.key == repository.key.lower()


@given(st.text(max_size=60), st.sampled_from(["", "https://github.com/", "https://github.com/a/"]))
def test_any_text_gives_none_or_a_repository_that_can_stand_in_a_path(
    text: str, start: str
) -> None:
    repository = parse_repository_url(start + text)
    if repository is not None:
        assert repository.full_name.isascii()
        assert repository.full_name.count("/") == 1
        assert not set(repository.full_name) & set("%?#\\ \r\n")
        assert repository.name not in ("", ".", "..")


@pytest.mark.parametrize(
    ("api", "host"),
    [
        ("https://api.github.com", "github.com"),
        ("https://api.octocorp.ghe.com", "octocorp.ghe.com"),
        ("https://git.example:8443/api/v3/", "git.example:8443"),
        ("http://127.0.0.1:4000", "github.com"),
        ("http://[", "github.com"),
    ],
)
def test_the_host_of_the_pages_of_an_api(api: str, host: str) -> None:
    assert web_host(api) == host


def test_an_enterprise_server_has_its_own_repositories_only() -> None:
    assert parse_repository_url("https://git.example/a/b", "git.example") == Repository("a", "b")
    assert parse_repository_url("https://github.com/a/b", "git.example") is None
    with pytest.raises(target.TargetError, match=r"https://git\.example/owner/name"):
        target.check("https://github.com/a/b", "github", github_host="git.example")


def test_a_target_of_kind_github_must_be_a_repositorys_page() -> None:
    assert target.check("https://GitHub.com/a/b", "github") == "https://github.com/a/b"
    for url in ("https://github.com/a", "mailto:a@example.com", "https://example.com/a/b"):
        with pytest.raises(target.TargetError):
            target.check(url, "github")


@given(
    st.integers(1, 2**63 - 1),
    st.text(min_size=1, max_size=30),
    st.integers(0, 10**8),
    st.sampled_from([SYNC_PERIOD, GONE_PERIOD]),
)
def test_a_repository_has_its_own_moment_of_each_period(
    tenant: int, key: str, seconds: int, period: timedelta
) -> None:
    now = NOW + timedelta(seconds=seconds)
    due = next_due_at(tenant, key, now, period)
    assert period / 2 - timedelta(seconds=1) <= due - now <= period * 3 / 2
    following = next_due_at(tenant, key, due, period)
    assert following - due == period
    assert next_due_at(tenant, key, due + timedelta(seconds=90), period) == following


def test_due_times_of_repositories_are_spread_evenly() -> None:
    hours = [0] * 6
    for n in range(6000):
        due = next_due_at(1, f"owner/{n}", NOW) - NOW - SYNC_PERIOD / 2
        hours[int(due.total_seconds() // 3600)] += 1
    assert min(hours) > 850
    assert max(hours) < 1150
