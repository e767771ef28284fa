"""The benchmark of longest waits: its verdict on rounds, and a short run."""

import pytest

from bench import stalls
from bench.stalls import Waits, evaluate
from tests.bench.test_pipeline import run_short

CALM = Waits(0.1, 0.4, 1.0, 3.0)


def test_rounds_are_summed_up_by_their_median_and_the_longest_wait() -> None:
    ours = [CALM, Waits(0.2, 0.5, 1.4, 9.0), Waits(0.3, 0.6, 8.0, 40.0)]
    result, failures = evaluate({"": ours, "nginx_": [CALM] * 3})
    assert (result["p50_ms"], result["p99_ms"], result["p999_ms"]) == (0.2, 0.5, 1.4)
    assert (result["longest_ms"], result["rounds_with_stall"]) == (40.0, 0)
    assert (result["ratio_p999"], failures) == (1.4, [])
    assert result["runs"]["p999_ms"] == [1.0, 1.4, 8.0]


@pytest.mark.parametrize(
    ("ours", "peer", "failures"),
    [
        (CALM._replace(p999=1.6), CALM, 1),
        (CALM._replace(longest=51.0), CALM, 1),
        (CALM._replace(longest=51.0), CALM._replace(longest=60.0), 0),  # of the machine
        (CALM._replace(p999=2.0, longest=51.0), CALM, 2),
    ],
)
def test_longer_waits_than_those_of_nginx_are_failures(
    ours: Waits, peer: Waits, failures: int
) -> None:
    assert len(evaluate({"": [ours], "nginx_": [peer]})[1]) == failures


@pytest.mark.large
def test_a_short_run_counts_all(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seconds", "1", "--rate", "500", "--dashboards", "6", "--rounds", "1", "--json"]
    assert run_short(stalls.command, options, capsys)["exact"] is True
