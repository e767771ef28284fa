"""An archive as an import file: its links and nothing else."""

import pytest

from engine.common.errors import InvalidError
from engine.links.imports.rows import RowReader
from tests.kit.link_files import link_file, outcomes

HEADER = '{"waypost":"archive","format":1,"profile_id":"7","at":"2026-05-01T10:00:00Z"}'
PROFILE = '{"table":"profiles","row":{"id":"7","handle":"ada","title":"Ada"}}'
OTHER = '{"table":"clicks","row":{"link_id":"9","country":"DE"}}'
LINK = (
    '{"table":"links","row":{"id":"9","slug":"a","target":"https://example.com/","title":"A","status":301,'
    '"tags":["x","y"],"options":{"click_limit":5,"utm":{"source":"bio"}},"profile_id":"7"}}'
)
END = '{"end":true,"rows":3}'


def test_links_come_out_with_the_handle_and_options_of_their_own() -> None:
    rows, rejects = outcomes("\n".join([HEADER, PROFILE, OTHER, LINK, END]))
    assert rejects == {}
    (row,) = rows
    assert (row.line, row.handle, row.slug, row.title, row.kind) == (4, "ada", "a", "A", "url")
    fields = dict(row.fields)
    assert fields.pop("utm").source == "bio"
    assert fields == {"status": 301, "tags": ("x", "y"), "click_limit": 5}


def test_the_links_go_to_the_named_profile() -> None:
    rows, _ = outcomes("\n".join([HEADER, PROFILE, LINK, END]), handle="bob")
    assert [row.handle for row in rows] == ["bob"]


@pytest.mark.parametrize(
    ("kind", "target", "error"),
    [("mailto", "mailto:ada@example.com", ""), ("tel", "tel:+390612345", ""),
     ("github", "https://github.com/ada/engine", ""), ("github", "https://example.com/", "target"),
     ("mailto", "https://example.com/", "target"), ("fax", "https://example.com/", "kind")],
)  # fmt: skip
def test_a_link_keeps_its_kind(kind: str, target: str, error: str) -> None:
    link = f'{{"table":"links","row":{{"slug":"a","target":"{target}","kind":"{kind}"}}}}'
    rows, rejects = outcomes("\n".join([HEADER, PROFILE, link, END]))
    assert [row.kind for row in rows] == ([] if error else [kind])
    assert error in rejects.get(3, "")


@pytest.mark.parametrize(
    ("line", "reason"),
    [("x", "not a line of an archive"), ("[]", "not a line of an archive"),
     ('{"table":"links","row":{"slug":1}}', "target must not be empty"),
     ('{"table":"links","row":[]}', "its row must be an object"),
     (LINK.replace('"slug"', '"slug":"c","slug"'), "the key 'slug' must stand once")],
)  # fmt: skip
def test_a_damaged_line_is_refused_alone(line: str, reason: str) -> None:
    rows, rejects = outcomes("\n".join([HEADER, PROFILE, line, LINK, END]))
    assert [row.slug for row in rows] == ["a"]
    assert reason in rejects[3]


def test_an_archive_that_was_not_written_whole_is_named() -> None:
    rows, rejects = outcomes("\n".join([HEADER, PROFILE, LINK]))
    assert len(rows) == 1
    assert "was not written whole" in rejects[3]


def test_an_archive_of_another_format_is_refused() -> None:
    with pytest.raises(InvalidError, match="format: must be 1"):
        link_file(HEADER.replace('"format":1', '"format":2'))


def test_rows_of_json_are_no_archive() -> None:
    source = link_file('{"handle":"ada","slug":"b","target":"https://example.com/"}')
    assert source.kind == "lines"
    assert RowReader("", private_hosts=False).row(1, next(source.records()).values).slug == "b"
