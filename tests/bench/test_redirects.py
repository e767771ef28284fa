"""The benchmark of redirects: what it computes, what it notices, and one short run."""

import json
import shutil
from typing import Any

import pytest

from bench.kit import link_set
from bench.kit.errors import BenchError
from bench.load import nginx, wrk
from bench.load.exactness_check import EngineCounts, ExactnessCheck
from bench.redirects import WrkRun, command, medians

NO_ERRORS: dict[str, int] = {}


def a_run(requests: int, cpu_s: float, p99_ms: float = 2.0) -> WrkRun:
    return WrkRun(wrk.WrkResult(requests, 2.0, 0.5, 1.0, p99_ms, 3.0, 4.0, {}), cpu_s)


def test_medians_are_over_rounds_and_ratios_are_of_pairs() -> None:
    found = medians(
        [
            (a_run(40_000, 1.0, 3.0), a_run(80_000, 1.0)),
            (a_run(20_000, 0.6, 9.0), a_run(40_000, 0.6)),
            (a_run(60_000, 1.8, 4.0), a_run(80_000, 1.2)),
        ]
    )
    assert found["rps"] == 20_000
    assert found["nginx_rps"] == 40_000
    assert found["cpu_us_per_request"] == 30.0
    assert found["nginx_cpu_us_per_request"] == 15.0
    assert found["p99_ms"] == 4.0
    assert found["busy"] == 0.5
    assert found["ratio_rps"] == 0.5
    assert found["ratio_cpu"] == 0.5


def a_check(completed: int, redirects: int, clicks: int, **changed: Any) -> ExactnessCheck:
    before = EngineCounts(redirects=100, clicks=100, unrecorded=0, edges=(7,))
    after = EngineCounts(redirects=100 + redirects, clicks=100 + clicks, unrecorded=0, edges=(7,))
    after = after._replace(**changed)
    return ExactnessCheck(
        completed, before, after, NO_ERRORS, connections=64, seconds_to_commit=0.1
    )


@pytest.mark.parametrize("more", [0, 64])
def test_requests_under_way_at_the_end_are_no_failure(more: int) -> None:
    assert a_check(1000, 1000 + more, 1000 + more).failures() == []


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (a_check(1000, 1000, 999), "1000 redirects but 999 clicks"),
        (a_check(1000, 1000, 1001), "1000 redirects but 1001 clicks"),
        (a_check(1000, 999, 999), "999 redirects for 1000"),
        (a_check(1000, 1065, 1065), "1065 redirects for 1000"),
        (a_check(1000, 1000, 1000, unrecorded=2), "2 clicks unrecorded"),
        (a_check(1000, 1000, 1000, edges=(8,)), "restarted"),
        (a_check(1000, 1000, 1000)._replace(errors={"read": 5}), "requests failed: {'read': 5}"),
    ],
)
def test_whatever_does_not_agree_is_a_failure(check: ExactnessCheck, said: str) -> None:
    (failure,) = check.failures()
    assert said in failure


def test_links_are_distinct_and_a_hundred_a_profile() -> None:
    made = link_set.make(250)
    assert len({link.path for link in made}) == len({link.target for link in made}) == 250
    assert len({link.handle for link in made}) == 3
    assert link_set.written(made[:1]).splitlines() == [
        "handle,slug,target,title",
        "creator0000,link-000000,https://shop.example.com/item/000000?utm_source=bio&utm_medium=link,"
        "Link 0",
    ]


def missing() -> str:
    for name, found in (("wrk", shutil.which("wrk")), ("nginx", has_nginx())):
        if not found:
            return f"{name} is not installed"
    return ""


def has_nginx() -> bool:
    try:
        return bool(nginx.find())
    except BenchError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_short_run_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seconds", "1", "--links", "20", "--rounds", "1", "--connections", "8", "--json"]
    code = command.main(options, standalone_mode=False)
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    assert (code, result["failures"]) == (0, [])
    assert result["clicks"] == result["redirects"] > 0
    assert all(0 <= more <= 8 for more in result["answered_more"])
    for found in (result, result["one_request_per_connection"]):
        for key in ("rps", "cpu_us_per_request", "p99_ms", "nginx_rps", "nginx_cpu_us_per_request",
                    "ratio_rps", "ratio_cpu"):  # fmt: skip
            assert found[key] > 0, key
    assert "Redirects: 20 links" in out
