"""`waypost import`: its last line, its exit code, its options, and what a second run changes."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from api.command.import_links import valid_columns, valid_handle
from engine.common.errors import WaypostError
from tests.kit.commands import CommandLine

TARGET = "https://example.com/"
Run = Callable[..., tuple[str, int]]


@pytest.fixture
def imports(
    waypost: CommandLine,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Import a text as a file; the last line without its rate, and the exit code."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert waypost("migrate", "--data", str(tmp_path)).code == 0
    monkeypatch.setenv("REDIS_URL", redis_url)
    file = tmp_path / "links.csv"

    def run(text: str, *options: str) -> tuple[str, int]:
        file.write_text(text)
        ended = waypost("import", str(file), "--profile", "Ada", "--data", str(tmp_path), *options)
        assert ended.code in (0, 1), ended.errors
        return re.sub(r" \([\d,]+ rows/s\)$", "", ended.output.splitlines()[-1]), int(
            str(ended.code)
        )

    return run


@pytest.mark.slow
def test_the_last_line_counts_and_rejects_are_exit_code_1(imports: Run, tmp_path: Path) -> None:
    good = f"slug,target,title\nspring,{TARGET},Spring\nfall,{TARGET},\n"
    created = "2 rows: 2 created, 0 updated, 0 unchanged, 0 rejected"
    assert imports(good, "--dry-run") == (created, 0)
    assert imports(good) == (created, 0)
    bad = good.replace("Spring", "May") + "x,javascript:alert(1),\n"
    refused = "3 rows: 0 created, 0 updated, 1 unchanged, 2 rejected"
    assert imports(bad, "--if-exists", "reject") == (refused, 1)
    assert imports(bad) == ("3 rows: 0 created, 1 updated, 1 unchanged, 1 rejected", 1)
    assert (tmp_path / "links.csv.rejects.csv").read_text().count("\n") == 2


def _lines(count: int, bad: int) -> list[str]:
    """Return rows of which `bad` are of no use, and some have the address of another."""
    lines = [f"s{n},{TARGET}{n},T{n}" for n in range(count - bad)]
    lines += [
        f"s{n},{TARGET}again-{n}," if n % 2 else f"b{n},javascript:alert({n})," for n in range(bad)
    ]
    return lines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "bad"),
    [(700, 40), pytest.param(100_000, 1_000, marks=[pytest.mark.large, pytest.mark.timeout(900)])],
)
def test_running_it_twice_changes_nothing_in_the_other_order_too(
    imports: Run, tmp_path: Path, count: int, bad: int
) -> None:
    lines = _lines(count, bad)
    head = "slug,target,title\n"
    good = count - bad
    first = f"{count} rows: {good} created, 0 updated, 0 unchanged, {bad} rejected"
    again = f"{count} rows: 0 created, 0 updated, {good} unchanged, {bad} rejected"
    assert imports(head + "\n".join(lines)) == (first, 1)
    rejects = (tmp_path / "links.csv.rejects.csv").read_text()
    assert rejects.count("is that of line") == bad // 2
    assert "slug 's1' of ada is that of line 3, too" in rejects
    assert imports(head + "\n".join(lines)) == (again, 1)
    assert imports(head + "\n".join(reversed(lines))) == (again, 1)


def test_columns_are_named_by_ours() -> None:
    assert valid_columns(["target=Long URL", "slug=a=b"]) == {"target": "Long URL", "slug": "a=b"}
    for text in ("target", "target=", "colour=red"):
        with pytest.raises(WaypostError, match="--column "):
            valid_columns([text])


def test_a_handle_that_no_profile_can_have_is_refused() -> None:
    assert valid_handle("Ada") == "ada"
    with pytest.raises(WaypostError, match="--profile "):
        valid_handle("no spaces")
