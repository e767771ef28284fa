"""Checks of targets: the probes, the result of the responses, and the due times."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.links.health import (
    CHECK_PERIOD,
    MAX_HOPS,
    RETRY_AFTER,
    CheckResult,
    DueCheck,
    Probe,
    ProbeResult,
    TargetCheck,
    next_check,
    outcome_of,
    resolve_redirect,
)

NOW = datetime(2026, 3, 15, 10, 7, tzinfo=UTC)
URL = "https://example.com/a"


def run_check(*responses: ProbeResult) -> tuple[list[Probe], CheckResult]:
    """Return the probes that a check sends, and its result after these responses."""
    check, probes = TargetCheck(URL), []
    for response in responses:
        assert check.probe is not None
        probes.append(check.probe)
        check.receive(response)
    assert check.probe is None
    assert check.result is not None
    return probes, check.result


@pytest.mark.parametrize("status", [200, 204, 206, 299])
def test_a_successful_head_is_enough(status: int) -> None:
    probes, result = run_check(ProbeResult(status))
    assert probes == [Probe("HEAD", URL)]
    assert result == CheckResult("ok", status, "")


@pytest.mark.parametrize("head", [400, 403, 404, 405, 500, 501, 503])
def test_a_head_that_is_refused_is_followed_by_a_get(head: int) -> None:
    probes, result = run_check(ProbeResult(head), ProbeResult(206))
    assert probes == [Probe("HEAD", URL), Probe("GET", URL)]
    assert result.state == "ok"


@pytest.mark.parametrize(
    ("status", "state", "transient"),
    [
        (404, "broken", False), (410, "broken", False), (400, "broken", False),
        (500, "broken", True), (502, "broken", True), (503, "broken", True),
        (401, "unknown", False), (403, "unknown", False), (429, "unknown", False),
        (451, "unknown", False), (999, "unknown", False), (416, "ok", False),
    ],
)  # fmt: skip
def test_the_result_of_each_status(status: int, state: str, transient: bool) -> None:
    _, result = run_check(ProbeResult(status), ProbeResult(status))
    assert (result.state, result.status, result.transient) == (state, status, transient)


def test_without_a_response_a_target_is_broken_or_after_a_local_error_unknown() -> None:
    _, result = run_check(ProbeResult(None, reason="could not connect", transient=True))
    assert result == CheckResult("broken", None, "could not connect", True)
    _, result = run_check(ProbeResult(None, reason="names cannot be looked up", local_error=True))
    assert result.state == "unknown"


def test_redirects_are_followed_up_to_a_limit() -> None:
    probes, result = run_check(
        ProbeResult(301, "/b#x"), ProbeResult(302, "//other.example/c?d=1"), ProbeResult(200)
    )
    urls = [URL, "https://example.com/b", "https://other.example/c?d=1"]
    assert [probe.url for probe in probes] == urls
    assert result.state == "ok"
    hops = [ProbeResult(307, f"/{n}") for n in range(MAX_HOPS + 1)]
    probes, result = run_check(*hops)
    assert len(probes) == MAX_HOPS + 1
    assert result == CheckResult("broken", 307, "more than 5 redirects")
    # A GET stays a GET.
    probes, result = run_check(ProbeResult(405), ProbeResult(302, "/b"), ProbeResult(404))
    assert [probe.method for probe in probes] == ["HEAD", "GET", "GET"]
    assert result.state == "broken"


@pytest.mark.parametrize(
    "location",
    ["ftp://a/b", "javascript:1", "http://[", "https://u:p@a.example/", "/" + "a" * 2048],
)
def test_a_redirect_to_an_invalid_url_is_broken(location: str) -> None:
    _, result = run_check(ProbeResult(302, location))
    assert result == CheckResult("broken", 302, "it redirects to an invalid URL")


@given(st.text(max_size=80))
def test_any_location_gives_a_plain_url_or_none(location: str) -> None:
    url = resolve_redirect(URL, location)
    if url is not None:
        assert url.startswith(("http://", "https://"))
        assert url.isascii()
        assert "#" not in url


def test_a_transient_failure_makes_a_target_broken_the_second_time() -> None:
    check, failed = DueCheck(1, URL, "ok", 0), CheckResult("broken", 500, "it answers 500", True)
    first = outcome_of(check, failed, NOW)
    assert (first.state, first.failures, first.next_at) == ("unknown", 1, NOW + RETRY_AFTER)
    second = outcome_of(check._replace(state="unknown", failures=1), failed, NOW)
    assert (second.state, second.failures) == ("broken", 2)
    assert second.next_at == next_check(1, URL, NOW)
    assert outcome_of(check._replace(state="broken", failures=2), failed, NOW).state == "broken"
    assert outcome_of(check, CheckResult("broken", 404, ""), NOW).state == "broken"
    assert outcome_of(check._replace(failures=7), CheckResult("ok", 200, ""), NOW).failures == 0


@given(st.integers(1, 10**6), st.text(min_size=1, max_size=20), st.integers(0, 10**7))
def test_a_target_has_its_own_moment_of_the_day(tenant: int, target: str, seconds: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    due = next_check(tenant, target, now)
    assert CHECK_PERIOD / 2 - timedelta(seconds=1) <= due - now <= CHECK_PERIOD * 3 / 2
    assert next_check(tenant, target, due + timedelta(minutes=3)) == due + CHECK_PERIOD
