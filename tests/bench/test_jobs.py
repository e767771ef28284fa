"""The benchmark of jobs: a short run, in which every job is done once."""

import pytest

from bench import jobs
from tests.bench.test_pipeline import run_short


@pytest.mark.large
def test_a_short_run_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_short(jobs.command, ["--jobs", "3000", "--effects", "300", "--json"], capsys)
    assert result["wrong"] == 0
    assert 0 < float(str(result["rescued_after_s"])) < 30
    assert float(str(result["jobs_per_s"])) > 100
