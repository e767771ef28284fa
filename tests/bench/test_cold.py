"""The benchmark of cold profiles: its links, and a short run with restarts."""

import pytest

from bench import cold
from tests.bench.test_pipeline import run_short


def test_a_first_visit_asks_for_one_link_of_each_profile() -> None:
    links = cold.cold_links(4, 3)
    assert len({link.path for link in links}) == 12
    assert cold.first_paths(links, 3) == [
        "/newcomer000000/link-0",
        "/newcomer000001/link-1",
        "/newcomer000002/link-2",
        "/newcomer000003/link-0",
    ]


@pytest.mark.thorough
@pytest.mark.slow
def test_a_short_run_refuses_nobody_and_counts_all(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seconds", "1", "--cold-rate", "100", "--warm-rate", "500", "--restarts", "1"]
    result = run_short(cold.command, [*options, "--json"], capsys)
    assert result["exact"] is True
    assert result["uncounted"] == 0
    for key in ("drained", "killed"):
        seen = result[key]
        assert isinstance(seen, dict)
        assert (seen["restarts"], seen["failed_connections"], seen["other_answers"]) == (1, 0, 0)
        if key == "drained":
            assert (seen["lost_first"], seen["lost_later"]) == (0, 0)
