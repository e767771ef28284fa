"""`waypost import`: its last line, its exit code, and --profile."""

import re
from pathlib import Path

import pytest

from api.command.import_links import valid_handle
from engine.common.errors import WaypostError
from engine.links.import_rows import RowError, parser_for
from tests.kit.commands import CommandLine

TARGET = "https://example.com/"


@pytest.mark.slow
def test_the_last_line_counts_and_rejects_are_exit_code_1(
    waypost: CommandLine,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert waypost("migrate", "--data", str(tmp_path)).code == 0
    monkeypatch.setenv("REDIS_URL", redis_url)
    file = tmp_path / "links.csv"

    def last_line(text: str, code: int) -> str:
        file.write_text(text)
        ended = waypost("import", str(file), "--profile", "Ada", "--data", str(tmp_path))
        assert ended.code == code, ended.errors
        return re.sub(r" \([\d,]+ rows/s\)$", "", ended.output.splitlines()[-1])

    good = f"slug,target,title\nspring,{TARGET},Spring\nfall,{TARGET},\n"
    line = "2 rows: 2 created, 0 updated, 0 unchanged, 0 rejected"
    assert last_line(good, 0) == line
    bad = good.replace("Spring", "May") + "x,javascript:alert(1),\n"
    line = "3 rows: 0 created, 1 updated, 1 unchanged, 1 rejected"
    assert last_line(bad, 1) == line
    assert (tmp_path / "links.csv.rejects.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("slug,target,title", f"a,{TARGET},"),
        ("target,slug", f"{TARGET},a"),
        ("handle,slug,target", f"ADA,a,{TARGET}"),
        ("handle,slug,target", f",a,{TARGET}"),
        ("", f"a,{TARGET}"),
        ("", f"ada,a,{TARGET},"),
        ("", f'{{"slug": "a", "target": "{TARGET}"}}'),
        ("", f'{{"handle": "ada", "slug": "a", "target": "{TARGET}"}}'),
    ],
)
def test_rows_without_a_handle_get_the_named_one(header: str, line: str) -> None:
    parse, is_header = parser_for(header or line, "ada")
    assert is_header == bool(header)
    assert parse(line) == {"handle": "ada", "slug": "a", "target": TARGET, "title": ""}


@pytest.mark.parametrize(
    "line", [f"bob,a,{TARGET},", f'{{"handle": "bob", "slug": "a", "target": "{TARGET}"}}']
)
def test_a_row_of_another_profile_is_rejected(line: str) -> None:
    parse, _ = parser_for(line, "ada")
    with pytest.raises(RowError, match="handle must be ada or empty"):
        parse(line)


def test_the_links_of_an_archive_go_to_the_named_profile() -> None:
    header = '{"waypost":"archive","format":1}'
    profile = '{"table":"profiles","row":{"handle":"bob"}}'
    link = f'{{"table":"links","row":{{"slug":"a","target":"{TARGET}"}}}}'
    for handle, expected in (("ada", "ada"), ("", "bob")):
        parse, _ = parser_for(header, handle)
        parse(profile)
        row = parse(link)
        assert row is not None
        assert row["handle"] == expected


def test_a_handle_that_no_profile_can_have_is_refused() -> None:
    assert valid_handle("Ada") == "ada"
    with pytest.raises(WaypostError, match="--profile "):
        valid_handle("no spaces")
