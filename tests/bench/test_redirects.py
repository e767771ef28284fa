"""The benchmark of redirects: its calculations, its failures, and a short run."""

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
    result = medians(
        [
            (a_run(40_000, 1.0, 3.0), a_run(80_000, 1.0)),
            (a_run(20_000, 0.6, 9.0), a_run(40_000, 0.6)),
            (a_run(60_000, 1.8, 4.0), a_run(80_000, 1.2)),
        ]
    )
    assert result["rps"] == 20_000
    assert result["nginx_rps"] == 40_000
    assert result["cpu_us_per_request"] == 30.0
    assert result["nginx_cpu_us_per_request"] == 15.0
    assert result["p99_ms"] == 4.0
    assert result["busy"] == 0.5
    assert result["ratio_rps"] == 0.5
    assert result["ratio_cpu"] == 0.5


def a_check(completed: int, redirects: int, clicks: int, **changes: Any) -> ExactnessCheck:
    before = EngineCounts(redirects=100, clicks=100, unrecorded=0, edges=(7,))
    after = EngineCounts(redirects=100 + redirects, clicks=100 + clicks, unrecorded=0, edges=(7,))
    after = after._replace(**changes)
    return ExactnessCheck(
        completed, before, after, NO_ERRORS, connections=64, seconds_to_commit=0.1
    )


@pytest.mark.parametrize("surplus", [0, 64])
def test_requests_in_flight_at_the_end_are_no_failure(surplus: int) -> None:
    assert a_check(1000, 1000 + surplus, 1000 + surplus).failures() == []


@pytest.mark.parametrize(
    ("check", "message"),
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
def test_each_count_that_differs_is_a_failure(check: ExactnessCheck, message: str) -> None:
    (failure,) = check.failures()
    assert message in failure


def test_links_are_distinct_and_a_hundred_per_profile() -> None:
    links = link_set.sample_links(250)
    assert len({link.path for link in links}) == len({link.target for link in links}) == 250
    assert len({link.handle for link in links}) == 3
    assert link_set.to_csv(links[:1]).splitlines() == [
        "handle,slug,target,title",
        "creator0000,link-000000,https://shop.example.com/item/000000?utm_source=bio&utm_medium=link,"
        "Link 0",
    ]


def missing() -> str:
    for name, path in (("wrk", shutil.which("wrk")), ("nginx", has_nginx())):
        if not path:
            return f"{name} is not installed"
    return ""


def has_nginx() -> bool:
    try:
        return bool(nginx.find())
    except BenchError:
        return False


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_short_run_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seconds", "1", "--links", "20", "--rounds", "1", "--connections", "8", "--json"]
    code = command.main(options, standalone_mode=False)
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    assert (code, result["failures"]) == (0, [])
    assert result["clicks"] == result["redirects"] > 0
    assert all(0 <= surplus <= 8 for surplus in result["answered_more"])
    for medians_ in (result, result["one_request_per_connection"]):
        for key in ("rps", "cpu_us_per_request", "p99_ms", "nginx_rps", "nginx_cpu_us_per_request",
                    "ratio_rps", "ratio_cpu"):  # fmt: skip
            assert medians_[key] > 0, key
    assert f"Redirects ({result['core']}): 20 links" in out
