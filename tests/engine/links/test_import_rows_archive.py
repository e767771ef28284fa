"""An archive as an import file: its links and nothing else."""

import pytest

from engine.common.errors import InvalidError
from engine.links.import_rows import ArchiveParser, RowError, parser_for, validate_row
from engine.links.ports import ImportRow

HEADER = '{"waypost":"archive","format":1,"profile_id":"7","at":"2026-05-01T10:00:00Z"}'
PROFILE = '{"table":"profiles","row":{"id":"7","handle":"ada","title":"Ada"}}'
OTHER = '{"table":"clicks","row":{"link_id":"9","country":"DE"}}'
LINK = (
    '{"table":"links","row":{"id":"9","slug":"a","target":"https://example.com/","title":"A","status":302,'
    '"profile_id":"7"}}'
)


def test_links_come_out_with_the_handle_of_their_profile() -> None:
    parse, is_header = parser_for(HEADER)
    assert is_header
    assert isinstance(parse, ArchiveParser)
    assert [parse(PROFILE), parse(OTHER)] == [None, None]
    row = parse(LINK)
    assert row == {
        "handle": "ada", "slug": "a", "target": "https://example.com/", "title": "A", "kind": "url",
    }  # fmt: skip
    expected = ImportRow(4, "ada", "a", "https://example.com/", "A", "url")
    assert validate_row(4, row, private_hosts=False) == expected
    assert not parse.ended
    assert parse('{"end":true,"rows":3}') is None
    assert parse.ended


@pytest.mark.parametrize(
    ("kind", "target", "error"),
    [("mailto", "mailto:ada@example.com", ""), ("tel", "tel:+390612345", ""),
     ("github", "https://github.com/ada/engine", ""), ("github", "https://example.com/", "target"),
     ("mailto", "https://example.com/", "target"), ("fax", "https://example.com/", "kind")],
)  # fmt: skip
def test_a_link_keeps_its_kind(kind: str, target: str, error: str) -> None:
    parse, _ = parser_for(HEADER)
    parse(PROFILE)
    row = parse(f'{{"table":"links","row":{{"slug":"a","target":"{target}","kind":"{kind}"}}}}')
    assert row is not None
    if not error:
        assert validate_row(1, row, private_hosts=False).kind == kind
        return
    with pytest.raises(RowError, match=error):
        validate_row(1, row, private_hosts=False)


@pytest.mark.parametrize(
    "line", ["", "x", "[]", '{"table":"links","row":{"slug":1}}', '{"table":"links"}', "\udcff"]
)
def test_a_damaged_line_is_refused_alone(line: str) -> None:
    parse, _ = parser_for(HEADER)
    with pytest.raises(RowError, match="not a line of an archive"):
        parse(line)
    assert parse(PROFILE) is None


def test_an_archive_of_another_format_is_refused() -> None:
    with pytest.raises(InvalidError, match="format: must be 1"):
        parser_for(HEADER.replace('"format":1', '"format":2'))


def test_rows_of_json_are_no_archive() -> None:
    parse, is_header = parser_for('{"handle":"a","slug":"b","target":"https://example.com/"}')
    assert not is_header
    assert not isinstance(parse, ArchiveParser)


def test_a_row_with_a_key_twice_is_refused_and_the_key_is_named() -> None:
    row = '{"handle":"a","slug":"b","target":"https://example.com/"}'
    parse, _ = parser_for(row)
    with pytest.raises(RowError, match="the key 'slug' must stand once in its object"):
        parse(row.replace('"slug"', '"slug":"c","slug"'))
    assert parse(row) is not None
    archived, _ = parser_for(HEADER)
    with pytest.raises(RowError, match="the key 'slug' must stand once in its object"):
        archived(LINK.replace('"slug"', '"slug":"c","slug"'))
