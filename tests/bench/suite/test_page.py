"""The page of a report: whole, self-contained, and text from a file is only text."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from bench.__main__ import main
from bench.suite.page import merged, page, sections
from bench.suite.result import BenchResult
from bench.suite.result_file import append_result
from tests.bench.suite.results import HOST, bench_result, figure

HOSTILE = "</style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{0}%\x00\u202e"
VOID = {"meta", "rect", "line", "circle", "br"}


class Elements(HTMLParser):
    """Elements, attributes and text of a page; `unclosed` must be empty in the end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: dict[str, list[str]] = {}
        self.words: list[str] = []
        self.unclosed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.unclosed.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def all_kinds() -> list[BenchResult]:
    bars = [
        figure("cpu", 9.5, (9.4, 9.5, 9.9), chart="CPU", series="waypost", title="kept alive"),
        figure("nginx_cpu", 8.9, (8.8, 9.0), chart="CPU", series="nginx", title="kept alive"),
        figure("lost", 0.0, unit=""),
    ]
    lines = [
        figure(f"p99/{rate}", rate / 1000, chart="p99", series=series, x=float(rate), unit="ms")
        for series in ("waypost", "nginx", "haproxy", "floor", "another")
        for rate in (5_000, 10_000, 80_000)
    ]
    return [
        bench_result("redirects", bars, exact=True),
        bench_result("pipeline", lines, failures=["3 clicks lost"]),
        bench_result("stats", error="wrk is not installed", exit_code=2),
    ]


def test_a_page_has_every_figure_state_and_command_and_loads_nothing() -> None:
    elements = Elements(page(all_kinds()))
    text = " ".join(" ".join(elements.words).split())
    for words in (
        "9.5 µs", "9.4 to 9.9 (3)", "python -m bench redirects", "exact", "3 clicks lost", "a check failed",
        "wrk is not installed", "not measured", "What this does not say. what it is not", "A processor",
        "nginx 1.22.1", "3 benchmarks", "2 failed",
    ):  # fmt: skip
        assert words in text, words
    assert elements.unclosed == []
    assert elements.names.isdisjoint({"script", "img", "link", "iframe"})
    assert elements.attributes.keys().isdisjoint({"src", "onerror", "style"})
    assert all(link.startswith("#") for link in elements.attributes["href"])
    assert "default-src 'none'; style-src 'unsafe-inline'" in elements.attributes["content"]


def test_hostile_text_stays_text_everywhere() -> None:
    hostile = [
        figure(
            "a", 1.0, (1.0, 2.0), title=HOSTILE, unit=HOSTILE[:40], chart=HOSTILE, series=HOSTILE
        ),
        figure("b", 2.0, title=HOSTILE, chart="x", series=HOSTILE, x=1.0),
    ]
    host = msgspec.structs.replace(HOST, cpu=HOSTILE, kernel=HOSTILE, versions={HOSTILE: HOSTILE})
    result = bench_result(
        HOSTILE, hostile, failures=[HOSTILE], error=HOSTILE, about=HOSTILE, does_not_say=HOSTILE,
        command=["python", HOSTILE, HOSTILE, HOSTILE], version=HOSTILE, commit=HOSTILE[:80], machine=host,
    )  # fmt: skip
    text = page([result])
    elements = Elements(text)
    assert elements.names.isdisjoint({"script", "img"})
    assert not {"onerror", "src"} & elements.attributes.keys()
    assert "alert(1)" in " ".join(elements.words)
    assert "\x00" not in text
    assert "\u202e" not in text


def test_repeated_runs_are_one_section_with_their_median() -> None:
    values = (3.0, 1.0, 2.0)
    runs = [bench_result("jobs", [figure("rate", value, (9.0, 9.0))]) for value in values]
    broken = bench_result("jobs", error="it hung", exit_code=1)
    (section,) = sections([runs[0], broken, *runs[1:]])
    assert len(section.runs) == 3
    (rate,) = merged(section.runs)
    assert (rate.value, rate.runs) == (2.0, values)
    assert merged(runs[:1])[0].runs == (9.0, 9.0)


def test_what_makes_figures_say_less_is_said_first() -> None:
    other = msgspec.structs.replace(HOST, cpu="Another")
    text = page([bench_result("a", quick=True), bench_result("b", commit="feed+", machine=other)])
    for words in ("Short settings", "several machines", "several commits", "in no commit"):
        assert words in text


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e12])
def test_any_number_can_be_drawn(value: float) -> None:
    all_figures = [
        figure("bar", value, (value, value), chart="bars"),
        *(figure(f"x{x}", value, chart="lines", x=x) for x in (0.0, value, 7.0)),
    ]
    text = page([bench_result("x", all_figures)])
    assert '="nan' not in text
    assert '="inf' not in text


def test_the_command_writes_one_page_and_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.__main__.signal.signal", lambda number, handler: None)
    file, output = tmp_path / "results.jsonl", tmp_path / "report.html"
    append_result(file, bench_result("redirects", [figure("cpu", 9.5)]))
    assert main(["report", str(file), str(file), "-o", str(output)]) == 0
    assert "Benchmarks of Waypost" in output.read_text()
    capsys.readouterr()
    other = tmp_path / "other.jsonl"
    other.write_text("no")
    for arguments, message in (
        ([], "Missing argument"),
        ([str(other)], "is no JSON"),
        ([str(file), "-o", str(tmp_path / "nowhere" / "x.html")], "cannot be written"),
        ([str(file), "-o", str(file)], "is a file of results"),
    ):
        assert main(["report", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error
    assert file.read_text().startswith('{"schema":1')
