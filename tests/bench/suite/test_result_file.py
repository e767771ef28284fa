"""Results files: what is read, what is refused, and what a killed writer leaves."""

import json
from pathlib import Path

import pytest

from bench.kit.errors import BenchError
from bench.suite import result_file
from bench.suite.result_file import append_result, read_finished, read_results
from tests.bench.suite.results import bench_result


def test_results_are_read_as_they_were_appended(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    results = [bench_result("redirects"), bench_result("page", failures=["é\nü"])]
    for result in results:
        append_result(file, result)
    assert read_results(file) == results
    assert file.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no results"),
        (b"\n\n", "has no results"),
        (b"figures\n", "line 1 is no JSON"),
        (b"\xff\xfe\n", "line 1 is no JSON"),
        (b"[" * 100_000, "line 1 is no JSON"),
        (b"[]\n", "line 1 is no result of a benchmark"),
        (b'{"benchmark": "x"}\n', "line 1 is no result of a benchmark: it has no `schema`"),
        (b'{"schema": 2}\n', "line 1 has schema version 2; this program reads 1"),
        (b'{"schema": "1"}\n', "line 1 has schema version '1'"),
        (b'{"schema": 1}\n', "line 1 is no result of a benchmark: Object missing required field"),
    ],
)
def test_a_file_of_anything_else_is_refused_by_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "results.jsonl"
    file.write_bytes(content)
    with pytest.raises(BenchError) as raised:
        read_results(file)
    assert message in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_file_that_is_not_there_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BenchError, match="cannot be read: No such file"):
        read_results(tmp_path / "nothing.jsonl")
    with pytest.raises(BenchError, match="cannot be read: Is a directory"):
        read_results(tmp_path)
    file = tmp_path / "results.jsonl"
    append_result(file, bench_result("redirects"))
    size = file.stat().st_size
    monkeypatch.setattr(result_file, "MAX_BYTES", size)
    assert len(read_results(file)) == 1
    with pytest.raises(BenchError, match="name another file"):
        append_result(file, bench_result("redirects"))
    monkeypatch.setattr(result_file, "MAX_BYTES", size - 1)
    with pytest.raises(BenchError, match="has more than"):
        read_results(file)


def test_what_a_killed_writer_left_is_measured_again(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append_result(file, bench_result("redirects"))
    whole = file.read_bytes()
    for cut in (1, len(whole) // 2, len(whole) - 2):
        file.write_bytes(whole + whole[:cut])
        assert [result.benchmark for result in read_finished(file)] == ["redirects"]
        with pytest.raises(BenchError, match="line 2 is no JSON"):
            read_results(file)
        append_result(file, bench_result("page"))
        assert [result.benchmark for result in read_results(file)] == ["redirects", "page"]


def test_a_line_without_its_end_is_a_result(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append_result(file, bench_result("redirects"))
    file.write_bytes(file.read_bytes().removesuffix(b"\n"))
    assert [result.benchmark for result in read_finished(file)] == ["redirects"]
    append_result(file, bench_result("page"))
    assert [result.benchmark for result in read_results(file)] == ["redirects", "page"]


def test_a_number_that_is_none_is_no_result(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append_result(file, bench_result("redirects"))
    line = json.loads(file.read_text())
    line["figures"] = [{"name": "a", "title": "a", "unit": "", "value": None, "better": "lower"}]
    file.write_text(json.dumps(line) + "\n")
    with pytest.raises(BenchError, match="is no result of a benchmark: Expected `float`"):
        read_results(file)
