"""Ids of hits read back from journals, as an edge does that restarts."""

from pathlib import Path

from engine.clicks.click import Click
from engine.clicks.journal_format import encode_record
from engine.clicks.record_items import HIT, item
from storage.clicks.hit_ids import recent_hit_ids
from storage.clicks.journal import Journal


def journal(folder: Path) -> Journal:
    opened = Journal(folder, segment_bytes=64 * 1024, max_bytes=1024 * 1024, sync_ms=10)
    opened.open()
    return opened


def click(items: bytes = b"") -> bytes:
    # The user agent has the mark's length byte and much like it.
    return encode_record(Click(2, 9, 5, 1, 2, 0, b"ua\x10\x10", b"", b"de", b"visitor1", items))


def hits(*numbers: int) -> list[bytes]:
    return [click(item(HIT, number.to_bytes(16))) for number in numbers]


def test_ids_of_all_journals_are_read_back(tmp_path: Path) -> None:
    first, second = journal(tmp_path), journal(tmp_path)
    assert first.append([click(), *hits(1, 2), click()])
    assert first.append([click()] * 100)
    assert first.append(hits(3))
    assert second.append(hits(4))
    assert sorted(map(int.from_bytes, recent_hit_ids(tmp_path, 0))) == [1, 2, 3, 4]
    assert recent_hit_ids(tmp_path, 2**40) == []


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    opened = journal(tmp_path)
    assert opened.append(hits(1))
    assert opened.append(hits(2))
    assert recent_hit_ids(tmp_path / "none", 0) == []
    (segment,) = opened.folder.glob("*.segment")
    data = bytearray(segment.read_bytes())
    at = data.index((2).to_bytes(16))
    data[at] ^= 1
    segment.write_bytes(data)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "1.segment").write_bytes(b"\x08\x10" * 40)
    assert recent_hit_ids(tmp_path, 0) == [(1).to_bytes(16)]
