"""The benchmark of redirects: its options, its failures, its figures, and a short run."""

import io
import json
import shutil
from typing import Any

import click
import pytest
from rich.console import Console

from bench.kit import link_set
from bench.kit.errors import BenchError
from bench.load.engine_process import CORE
from bench.load.exactness_check import EngineCounts, ExactnessCheck
from bench.redirects import (
    MODES,
    RedirectsOptions,
    check_results,
    command,
    engines,
    measurements,
    parse_modes,
    parse_names,
    summary_lines,
    table,
    without_compiler,
)
from bench.rounds.redirect_engine import link_sets
from bench.rounds.side_by_side import KEEP_ALIVE, ONE_REQUEST, Mode
from bench.servers import c_programs, nginx
from tests.bench.rounds.test_side_by_side import a_summary

NO_ERRORS: dict[str, int] = {}


def options(**changes: Any) -> RedirectsOptions:
    return RedirectsOptions(1, 20, 8, 1, ("varying",), (KEEP_ALIVE,))._replace(**changes)


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


def test_each_traffic_has_its_links_and_a_peer_has_them_all() -> None:
    links = link_sets(2_000)
    assert len(links.of("page-clicks")) == 1_000
    assert {link.handle for link in links.of("experiment")} == {"tested"}
    assert links.of("agents") == links.of("proxy") == links.plain
    assert len({link.path for link in links.all}) == len(links.all) == 2_100


def test_names_of_traffic_are_each_taken_once_or_all() -> None:
    names = ["same", "varying", "agents"]
    assert parse_names("agents, same,agents", names, "--traffic") == ("agents", "same")
    assert parse_names("all", names, "--traffic") == tuple(names)
    for text in ("", "agent", "same,,varying", "all,same"):
        with pytest.raises(click.BadParameter, match="is none of same, varying, agents, all"):
            parse_names(text, names, "--traffic")


def test_a_mode_is_a_name_or_a_rate() -> None:
    assert parse_modes("one-request,700,keep-alive,700") == (
        ONE_REQUEST, Mode("700", rate=700), KEEP_ALIVE,
    )  # fmt: skip
    assert parse_modes("all") == MODES
    for text in ("", "keepalive", "0", "-5", "1000001", "10k", "٥"):
        with pytest.raises(click.BadParameter, match="no rate from 1 to 1,000,000"):
            parse_modes(text)


def test_a_bad_option_is_one_line_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.redirects.run", pytest.fail)
    for name, value in (("--traffic", "x"), ("--modes", "fast"), ("--peers", "apache")):
        with pytest.raises(click.BadParameter) as caught:
            command.main([name, value], standalone_mode=False)
        assert "\n" not in caught.value.message


def test_traffic_behind_a_proxy_has_an_engine_of_its_own() -> None:
    plan = options(traffic=("proxy", "same", "agents"), core="python")
    assert list(engines(plan)) == [
        ({CORE: "python", "WAYPOST_TRUSTED_HOPS": "1"}, ["proxy"]),
        ({CORE: "python"}, ["same", "agents"]),
    ]
    assert list(engines(options())) == [({}, ["varying"])]


def test_without_a_compiler_constant_rates_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_programs, "compiler", lambda: None)
    assert without_compiler(options()) == (options(), [])
    plan, (line,) = without_compiler(options(modes=(KEEP_ALIVE, Mode("700", rate=700))))
    assert plan == options()
    assert "no C compiler" in line
    with pytest.raises(BenchError, match="needs a C compiler"):
        without_compiler(options(modes=(Mode("700", rate=700),)))


def a_result(**changes: Any) -> dict[str, Any]:
    by_mode = {"keep-alive": a_summary(), "700": a_summary(rate=700, unsent=3)}
    checks = [a_check(1000, 1000, 1000), a_check(500, 507, 507)]
    machine = {"cpu": "A", "cores": 2, "kernel": "6", "python": "3.11"}
    return {
        "benchmark": "redirects",
        "traffic": {"varying": by_mode},
        "core": "compiled",
        "left_out": ["haproxy is left out"],
        "plan": {"links": 20, "connections": 8, "rounds": 2, "seconds": 1},
        "machine": machine,
        **check_results(checks, []),
        **changes,
    }


def test_checks_are_summed_and_any_failure_is_not_exact() -> None:
    result = a_result()
    assert (result["completed"], result["redirects"], result["clicks"]) == (1500, 1507, 1507)
    assert (result["exact"], result["answered_more"]) == (True, [0, 7])
    assert not check_results([a_check(1, 1, 1)], ["a link was wrong"])["exact"]


def test_figures_have_names_by_traffic_mode_and_server() -> None:
    figures = {figure.name: figure for figure in measurements(a_result())}
    assert figures["varying/keep-alive/waypost/cpu_us_per_request"].better == "lower"
    assert figures["varying/keep-alive/nginx/cpu_us_per_request"].better == "neither"
    assert figures["varying/keep-alive/nginx/ratio_cpu"].better == "higher"
    assert figures["varying/700/waypost/p999_ms"].chart == "Latency at a constant rate, p99.9"
    assert "varying/700/waypost/rps" not in figures


def test_the_table_fits_a_terminal_and_lines_say_what_limits_it() -> None:
    result = a_result()
    grid = table(result)
    assert grid.row_count == 6
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(grid)
    shown = console.export_text()
    assert "…" not in shown
    assert "30.0 (25.0–30.0)" in shown
    lines = "\n".join(summary_lines(result))
    assert "exact." in lines
    assert "haproxy is left out" in lines
    assert "slower than the rate" in lines
    assert "compare CPU" in lines
    assert "ms late" not in lines
    result["traffic"]["varying"]["700"]["nginx"]["late_p99_ms"] = 7.25
    assert "up to 7.2 ms late" in "\n".join(summary_lines(result))
    assert "FAILED: no" in "\n".join(summary_lines(a_result(exact=False, failures=["no"])))


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


def run_command(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    short = ["--seconds", "1", "--links", "20", "--rounds", "1", "--connections", "8", "--json"]
    code = command.main([*short, *words], standalone_mode=False)
    out = capsys.readouterr().out
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert (code, result["failures"]) == (0, [])
    assert result["clicks"] == result["redirects"] > 0
    low, high = result["answered_more"]
    assert 0 <= low <= high <= 8
    assert f"Redirects ({result['core']}): 20 links" in out
    return result


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_short_run_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    modes = "keep-alive,one-request" + (",500" if c_programs.compiler() else "")
    result = run_command(capsys, "--traffic", "varying", "--modes", modes, "--core", "python")
    assert result["core"] == "python"
    by_mode = result["traffic"]["varying"]
    assert list(by_mode) == modes.split(",")
    for summary in by_mode.values():
        for values in summary.values():
            for key in ("rps", "cpu_us_per_request", "p99_ms"):
                assert values[key] > 0, key
        assert summary["nginx"]["ratio_cpu"] > 0


@pytest.mark.large
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_every_kind_of_traffic_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_command(capsys, "--traffic", "all", "--modes", "keep-alive", "--peers", "nginx")
    assert len(result["traffic"]) == 7
