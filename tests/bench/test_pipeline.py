"""The benchmarks of the pipeline and of an outage: their calculations, and a short run of each."""

import json
import shutil
from pathlib import Path
from uuid import uuid4

import click
import pytest

from bench import outage, pipeline
from bench.load.memory import growth_mb
from engine.clicks.journal_format import SegmentHeader, encode_frame, encode_header


def test_growth_is_the_largest_difference_to_the_start() -> None:
    before = {"edge": 60.0, "api": 50.0}
    samples = [
        {"edge": 61.0, "api": 49.0},
        {"edge": 70.5, "api": 48.0},
        {"edge": 62.0, "api": 47.5},
    ]
    assert growth_mb(before, samples) == {"edge": 10.5, "api": -1.0}
    assert growth_mb(before, []) == {"edge": 0.0, "api": 0.0}


def test_percentiles_are_in_ms() -> None:
    latencies_us = list(range(1000, 101_000, 1000))
    assert outage.percentile_ms(latencies_us, 0.5) == 51.0
    assert (
        outage.percentile_ms(latencies_us, 0.99) == outage.percentile_ms(latencies_us, 1.0) == 100.0
    )


def test_bytes_per_click_count_frames_only(tmp_path: Path) -> None:
    frames = encode_frame(1, [b"x" * 100] * 4) + encode_frame(5, [b"x" * 100] * 6)
    journal = uuid4()
    (tmp_path / journal.hex).mkdir()
    file = tmp_path / journal.hex / "00000000000000000001.segment"
    file.write_bytes(encode_header(SegmentHeader(journal, 1, 0)) + frames + bytes(5000))
    assert pipeline.bytes_per_click(tmp_path) == len(frames) / 10


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("wrk") or not shutil.which("nginx"), reason="wrk or nginx is not installed"
)
def test_a_short_run_of_the_pipeline_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seconds", "1", "--links", "200", "--backlog", "20000", "--json"]
    result = run_short(pipeline.command, options, capsys)
    assert result["exact"] is True
    for key in ("sustained_clicks_per_s", "freshness_p99_ms", "fold_clicks_per_s"):
        assert float(str(result[key])) > 0


@pytest.mark.thorough
@pytest.mark.slow
def test_a_short_outage_loses_no_click(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--minutes", "0.05", "--rate", "500", "--json"]
    result = run_short(outage.command, options, capsys)
    assert result["lost"] == result["duplicated"] == result["clicks_unrecorded"] == 0
    assert result["pending_clicks"]


def run_short(
    command: click.Command, options: list[str], capsys: pytest.CaptureFixture[str]
) -> dict[str, object]:
    code = command.main(options, standalone_mode=False)
    out = capsys.readouterr().out
    assert code == 0, out
    result: dict[str, object] = json.loads(out.splitlines()[-1])
    return result
