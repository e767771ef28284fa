"""Manifests and names of members: what is of a backup, and what this engine can restore."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from engine.operations.backup import (
    FORMAT,
    BackupError,
    BackupJournal,
    Manifest,
    pack_picture,
    parse_manifest,
    part_name,
    picture_of,
    picture_stream,
    require_same_schema,
    segment_of,
    segment_stream,
    stream_of,
    unpack_picture,
)

MIGRATIONS = [("0001_roles.sql", "aa"), ("0002_links.sql", "bb")]


def manifest(**changes: Any) -> Manifest:
    filled = Manifest(
        format=FORMAT,
        waypost="0.1.0",
        moment=datetime(2026, 11, 30, tzinfo=UTC),
        postgres=170_010,
        migrations=MIGRATIONS,
        rows={"clicks_20261130": 3},
        clicks=3,
        journals=[BackupJournal(id=UUID(int=1), folded=3, kept=1)],
        members=[],
    )
    return msgspec.structs.replace(filled, **changes)


def test_names_of_parts_and_streams_are_each_others_inverse() -> None:
    stream = segment_stream(UUID(int=10), 77)
    assert stream_of(part_name(stream, 3)) == stream
    assert segment_of(stream) == (UUID(int=10).hex, f"{77:020d}.segment")
    assert stream_of("owner.json") == "owner.json"
    assert segment_of("postgres.sql.gz") is None
    picture = picture_stream("ab" * 16)
    assert stream_of(part_name(picture, 0)) == picture
    assert picture_of(picture) == "ab" * 16
    assert (picture_of(stream), segment_of(picture)) == (None, None)


@pytest.mark.parametrize(
    "name",
    ["../owner.json", "/etc/passwd", "owner.json/x", "postgres.sql.gz", "postgres.sql.gz.00000a", "journals/..",
     "journals/" + "a" * 32 + "/../" + "0" * 20 + ".segment.gz.000000", "owner.json\n", "",
     "assets/" + "a" * 31 + ".000000", "assets/../" + "a" * 29 + ".000000", "assets/" + "A" * 32 + ".000000"],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(BackupError, match="not of a backup"):
        stream_of(name)


def test_files_of_a_picture_are_read_as_they_were_written_and_no_others() -> None:
    files = {"main.jpg": b"1", "640.avif": b"22", "card.png": b""}
    assert unpack_picture(pack_picture(files)) == files
    for name in ("../main.jpg", "main.png", "0.avif", "a/640.avif", ""):
        with pytest.raises(BackupError, match="none of a picture"):
            unpack_picture(pack_picture({name: b""}))
    for data in (b"", b"\xff", pack_picture(files)[:-1], msgspec.msgpack.encode([1])):
        with pytest.raises(BackupError, match="cannot be read"):
            unpack_picture(data)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse_manifest(msgspec.json.encode(manifest())) == manifest()
    assert manifest().journals[0].folded == 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{}", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b'{"format": 1}', "cannot be read"),
        (b'{"format": 2}', "format 2, and this version of Waypost restores format 1"),
        (msgspec.json.encode(manifest(rows={'x" CASCADE': 1})), "names a table"),
    ],
)
def test_a_manifest_that_is_none_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BackupError, match=reason):
        parse_manifest(data)


@pytest.mark.parametrize(
    ("ours", "reason"),
    [
        ([*MIGRATIONS, ("0003_clicks.sql", "cc")], "it lacks 0003_clicks.sql"),
        (MIGRATIONS[:1], "it has 0002_links.sql"),
        ([MIGRATIONS[0], ("0002_links.sql", "b2")], "0002_links.sql differs"),
    ],
)
def test_another_schema_is_refused_by_name(ours: list[tuple[str, str]], reason: str) -> None:
    require_same_schema(manifest(), MIGRATIONS)
    with pytest.raises(BackupError, match=reason) as refused:
        require_same_schema(manifest(), ours)
    assert "\n" not in str(refused.value)
