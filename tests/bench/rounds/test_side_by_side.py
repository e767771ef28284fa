"""Servers side by side: the order of the rounds, medians, ratios and spread."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.kit.errors import BenchError
from bench.load import wrk
from bench.load.processes import Placement
from bench.load.wrk import WrkResult
from bench.rounds import constant_rate, side_by_side
from bench.rounds.constant_rate import RateResult
from bench.rounds.side_by_side import (
    KEEP_ALIVE,
    MeasuredServer,
    Mode,
    Peer,
    RunPlan,
    ServerRun,
    SideBySide,
    Summary,
    medians,
)

APART = Placement(server=1, client=0, rest=frozenset({0}))


def a_run(
    requests: int, cpu_s: float, p99_ms: float = 2.0, *, rate: int = 0, unsent: int = 0
) -> ServerRun:
    if rate:
        rated = RateResult(requests, 2.0, 0.5, 1.0, p99_ms, 3.0, 4.0, {}, unsent, 0.25)
        return ServerRun(rated, cpu_s)
    return ServerRun(WrkResult(requests, 2.0, 0.5, 1.0, p99_ms, 3.0, 4.0, {}), cpu_s)


def a_summary(rate: int = 0, unsent: int = 0) -> Summary:
    runs = {
        "waypost": [
            a_run(40_000, 1.0, 3.0, rate=rate, unsent=unsent),
            a_run(20_000, 0.6, 9.0, rate=rate, unsent=unsent),
            a_run(60_000, 1.8, 4.0, rate=rate, unsent=unsent),
        ],
        "nginx": [
            a_run(80_000, 1.0, rate=rate), a_run(40_000, 0.6, rate=rate),
            a_run(80_000, 1.2, rate=rate),
        ],
    }  # fmt: skip
    return medians(runs)


def test_medians_are_over_rounds_and_ratios_are_of_rounds() -> None:
    summary = a_summary()
    own, peer = summary["waypost"], summary["nginx"]
    assert (own["rps"], peer["rps"]) == (20_000, 40_000)
    assert (own["cpu_us_per_request"], peer["cpu_us_per_request"]) == (30.0, 15.0)
    assert (own["p99_ms"], own["busy"]) == (4.0, 0.5)
    assert (peer["ratio_rps"], peer["ratio_cpu"]) == (0.5, 0.5)
    assert own["runs"]["cpu_us_per_request"] == [25.0, 30.0, 30.0]
    assert own["spread"]["cpu_us_per_request"] == [25.0, 30.0]
    assert "ratio_cpu" not in own
    assert "unsent" not in own


def test_a_constant_rate_says_what_was_not_sent() -> None:
    own = a_summary(rate=700, unsent=5)["waypost"]
    assert (own["unsent"], own["late_p99_ms"]) == (5.0, 0.25)


class Call(NamedTuple):
    """Load that was asked for."""

    url: str
    heads: bytes
    seconds: int
    cores: frozenset[int]


class Waypost:
    """A server whose second run is wrong."""

    name = "waypost"
    url = "http://127.0.0.1:1"
    pid = 1

    def __init__(self) -> None:
        self.runs = 0

    def before_run(self) -> None:
        self.runs += 1

    def after_run(self, run: ServerRun) -> list[str]:
        return ["a click was lost"] if self.runs == 2 else []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Take the place of wrk and of the servers' processes. Returns the loads asked for."""
    asked: list[Call] = []

    def load(
        url: str, heads: Path, *, seconds: int, connections: int, cores: Sequence[int]
    ) -> WrkResult:
        asked.append(Call(url, heads.read_bytes(), seconds, frozenset(cores)))
        errors = {"read": 1} if len(asked) == 4 else {}
        return a_run(1_000, 0)[0]._replace(errors=errors)  # type: ignore[return-value]

    monkeypatch.setattr(wrk, "run", load)
    monkeypatch.setattr(side_by_side, "exact_cpu_s", lambda pid: 0.0)
    monkeypatch.setattr(side_by_side, "pin", lambda pid, cores: None)
    return asked


def servers(tidied: list[str]) -> list[MeasuredServer]:
    peer = Peer("nginx", "http://127.0.0.1:2", 2, lambda: tidied.append("nginx"))
    return [Waypost(), peer]


def test_rounds_begin_with_another_server_and_the_load_has_its_core(
    calls: list[Call], tmp_path: Path
) -> None:
    tidied: list[str] = []
    bench = SideBySide(
        servers(tidied), APART, RunPlan(seconds=7, connections=4, rounds=3), tmp_path
    )
    runs = bench.measure("varying", KEEP_ALIVE, lambda host: host.encode())
    assert [call.url[-1] for call in calls] == ["1", "2", "1", "2", "2", "1", "1", "2"]
    assert [call.seconds for call in calls] == [1, 1, *[7] * 6]
    assert {call.cores for call in calls} == {frozenset({0})}
    assert all(call.heads == call.url.removeprefix("http://").encode() for call in calls)
    assert {name: len(rounds) for name, rounds in runs.items()} == {"waypost": 3, "nginx": 3}
    assert tidied == ["nginx"] * 4
    assert bench.failures == ["a click was lost", "requests to nginx failed: {'read': 1}"]
    assert list(tmp_path.iterdir()) == []


def test_a_rate_is_sent_by_the_compiled_program(
    calls: list[Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[int] = []

    def load(program: Path, url: str, heads: Path, *, rate: int, **_: object) -> object:
        rates.append(rate)
        return a_run(1_000, 0, rate=rate).result

    monkeypatch.setattr(constant_rate, "run", load)
    plan = RunPlan(seconds=1, connections=4, rounds=1)
    mode = Mode("700", rate=700)
    SideBySide(servers([]), APART, plan, tmp_path, tmp_path / "program").measure(
        "varying", mode, lambda host: b"x"
    )
    assert rates == [700] * 4
    assert calls == []
    with pytest.raises(BenchError, match="was not compiled"):
        SideBySide(servers([]), APART, plan, tmp_path).measure("varying", mode, lambda host: b"x")


def test_a_server_never_shares_the_core_of_its_load(calls: list[Call], tmp_path: Path) -> None:
    plan = RunPlan(seconds=1, connections=4, rounds=1)
    with pytest.raises(BenchError, match="need a core each"):
        SideBySide(servers([]), Placement(0, 0, frozenset({0})), plan, tmp_path)
