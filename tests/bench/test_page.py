"""The benchmark of pages: a short run of the real thing."""

import json

import pytest

from bench.page import command
from tests.bench.test_redirects import missing


@pytest.mark.large
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_short_run_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seconds", "1", "--rounds", "1", "--connections", "8", "--json"]
    code = command.main(options, standalone_mode=False)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (code, result["failures"]) == (0, [])
    assert 0 < result["sent_bytes"] < result["html_bytes"] < 14 * 1024
    summary = result["keep-alive"]
    assert list(summary) == ["waypost", "nginx"]
    for key in ("rps", "cpu_us_per_request", "ratio_rps", "ratio_cpu"):
        assert summary["nginx"][key] > 0, key
