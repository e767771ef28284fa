"""Checks of targets: what is asked, what answers come to, and when a target is due again."""

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


def told(*answers: ProbeResult) -> tuple[list[Probe], CheckResult]:
    inquiry, sent = TargetCheck(URL), []
    for answer in answers:
        assert inquiry.probe is not None
        sent.append(inquiry.probe)
        inquiry.receive(answer)
    assert inquiry.probe is None
    assert inquiry.result is not None
    return sent, inquiry.result


@pytest.mark.parametrize("status", [200, 204, 206, 299])
def test_one_request_is_enough_for_what_is_there(status: int) -> None:
    sent, verdict = told(ProbeResult(status))
    assert sent == [Probe("HEAD", URL)]
    assert verdict == CheckResult("ok", status, "")


@pytest.mark.parametrize("head", [400, 403, 404, 405, 500, 501, 503])
def test_a_head_that_is_refused_is_followed_by_a_get(head: int) -> None:
    sent, verdict = told(ProbeResult(head), ProbeResult(206))
    assert sent == [Probe("HEAD", URL), Probe("GET", URL)]
    assert verdict.state == "ok"


@pytest.mark.parametrize(
    ("status", "state", "passing"),
    [
        (404, "broken", False), (410, "broken", False), (400, "broken", False),
        (500, "broken", True), (502, "broken", True), (503, "broken", True),
        (401, "unknown", False), (403, "unknown", False), (429, "unknown", False),
        (451, "unknown", False), (999, "unknown", False), (416, "ok", False),
    ],
)  # fmt: skip
def test_what_answers_come_to(status: int, state: str, passing: bool) -> None:
    _, verdict = told(ProbeResult(status), ProbeResult(status))
    assert (verdict.state, verdict.status, verdict.transient) == (state, status, passing)


def test_no_answer_may_pass_or_say_nothing_of_the_target() -> None:
    _, verdict = told(ProbeResult(None, reason="could not connect", transient=True))
    assert verdict == CheckResult("broken", None, "could not connect", True)
    _, verdict = told(ProbeResult(None, reason="names cannot be looked up", local_error=True))
    assert verdict.state == "unknown"


def test_redirects_are_followed_and_have_an_end() -> None:
    sent, verdict = told(
        ProbeResult(301, "/b#x"), ProbeResult(302, "//other.example/c?d=1"), ProbeResult(200)
    )
    urls = [URL, "https://example.com/b", "https://other.example/c?d=1"]
    assert [probe.url for probe in sent] == urls
    assert verdict.state == "ok"
    hops = [ProbeResult(307, f"/{n}") for n in range(MAX_HOPS + 1)]
    sent, verdict = told(*hops)
    assert len(sent) == MAX_HOPS + 1
    assert verdict == CheckResult("broken", 307, "more than 5 redirects")
    # A GET stays one.
    sent, verdict = told(ProbeResult(405), ProbeResult(302, "/b"), ProbeResult(404))
    assert [probe.method for probe in sent] == ["HEAD", "GET", "GET"]
    assert verdict.state == "broken"


@pytest.mark.parametrize(
    "location",
    ["ftp://a/b", "javascript:1", "http://[", "https://u:p@a.example/", "/" + "a" * 2048],
)
def test_where_no_request_may_go(location: str) -> None:
    _, verdict = told(ProbeResult(302, location))
    assert verdict == CheckResult("broken", 302, "it redirects to what is no URL")


@given(st.text(max_size=80))
def test_any_location_leads_to_a_plain_url_or_nowhere(location: str) -> None:
    found = resolve_redirect(URL, location)
    if found is not None:
        assert found.startswith(("http://", "https://"))
        assert found.isascii()
        assert "#" not in found


def test_what_may_pass_is_believed_the_second_time() -> None:
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
