"""Recovery of journals that are cut, damaged, or lack files: it invents no click and loses no intact frame."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.journal_format import HEADER_BYTES, encode_frame, encode_record, frames
from storage.clicks.journal import discard
from storage.clicks.recovery import OrphanReader, orphans
from storage.file_system import DiskFileSystem
from tests.kit.faulty_files import FaultyFiles
from tests.kit.recorded_journal import Recorder, batches, recovered
from tests.kit.shipped_batches import click

Damage = Callable[[bytearray], None]


class Orphaned(NamedTuple):
    """A dead writer's journal: its clicks by sequence, and its segments with the offsets of their frames."""

    folder: Path
    clicks: dict[int, Click]
    segments: list[Path]

    def frames(self, segment: int = -1) -> list[tuple[int, int, int, int]]:
        """Return (start, end, first, last) of each frame in a segment, with offsets in the file."""
        data = self.segments[segment].read_bytes()
        return [(f.start, f.end, f.first, f.last) for f in frames(data, HEADER_BYTES)]

    def change(self, segment: int, damage: Damage) -> None:
        data = bytearray(self.segments[segment].read_bytes())
        damage(data)
        self.segments[segment].write_bytes(data)

    def without(self, *lost: int) -> dict[int, Click]:
        return {sequence: click for sequence, click in self.clicks.items() if sequence not in lost}


@pytest.fixture
def orphaned(tmp_path: Path) -> Orphaned:
    """Three segments of 8 KiB and 4 to 40 clicks a frame; in the last one, three small frames."""
    recorder = Recorder(tmp_path)
    recorder.journal.open()
    while len(list(recorder.journal.folder.glob("*.segment"))) < 3:
        recorder.append(11)
    recorder.append(2, text=3)
    recorder.append(1, text=0)
    journal = recorder.journal
    journal.close(remove=False)
    return Orphaned(
        journal.folder,
        dict(enumerate(recorder.recorded, 1)),
        sorted(journal.folder.glob("*.segment")),
    )


@pytest.fixture
def adopted(orphaned: Orphaned) -> Iterator[OrphanReader]:
    recovery = OrphanReader(orphaned.folder)
    assert recovery.adopt()
    yield recovery
    recovery.close(remove=False)


def test_an_intact_journal_is_read_whole(orphaned: Orphaned) -> None:
    clicks, recovery = recovered(orphaned.folder)
    assert clicks == orphaned.clicks
    assert (recovery.dropped_clicks, recovery.dropped_bytes) == (0, 0)


def test_reading_starts_anywhere_and_any_number_of_times(
    orphaned: Orphaned, adopted: OrphanReader
) -> None:
    last = len(orphaned.clicks)
    for after in (0, last - 1, 1, 50, 49, last, 0, 11, 70):
        sequences: set[int] = set()
        for batch in batches(adopted, after=after):
            sequences |= set(range(batch.first, batch.last + 1))
        assert sequences >= set(range(after + 1, last + 1))
        assert adopted.read(last, 1) is None
    assert (adopted.dropped_clicks, adopted.dropped_bytes) == (0, 0)


def test_cut_anywhere_in_its_last_frames(orphaned: Orphaned) -> None:
    last_frames = orphaned.frames()
    whole = orphaned.segments[-1].read_bytes()
    for size in range(last_frames[-3][0] - 3, last_frames[-1][1] + 1):
        orphaned.segments[-1].write_bytes(whole[:size])
        clicks, recovery = recovered(orphaned.folder)
        lost = [n for start, end, a, z in last_frames if end > size for n in range(a, z + 1)]
        assert clicks == orphaned.without(*lost)
        torn = size - max([HEADER_BYTES, *(end for _, end, _, _ in last_frames if end <= size)])
        assert recovery.dropped_bytes == len(whole[size - torn : size].rstrip(b"\0"))
        assert recovery.dropped_clicks == 0
    orphaned.segments[-1].write_bytes(b"")
    clicks, _ = recovered(orphaned.folder)
    assert clicks == orphaned.without(*range(last_frames[0][2], len(orphaned.clicks) + 1))


def test_with_any_byte_flipped_only_its_frame_is_lost(orphaned: Orphaned) -> None:
    last_frames = orphaned.frames()[-3:]
    whole = orphaned.segments[-1].read_bytes()
    for start, end, first, last in last_frames:
        for at in range(start, end):
            orphaned.segments[-1].write_bytes(
                whole[:at] + bytes([whole[at] ^ 0xA5]) + whole[at + 1 :]
            )
            clicks, recovery = recovered(orphaned.folder)
            assert clicks == orphaned.without(*range(first, last + 1))
            assert recovery.dropped_bytes >= end - start - 1 or last < len(orphaned.clicks)
            if last < len(orphaned.clicks):
                assert recovery.dropped_clicks == last + 1 - first
                assert recovery.dropped_bytes == end - start


@pytest.mark.parametrize("frame", [0, 2, -1])
def test_a_damaged_frame_in_an_earlier_segment(orphaned: Orphaned, frame: int) -> None:
    start, end, first, last = orphaned.frames(0)[frame]

    def damage(data: bytearray) -> None:
        data[start:end] = os.urandom(end - start)

    orphaned.change(0, damage)
    clicks, recovery = recovered(orphaned.folder)
    assert clicks == orphaned.without(*range(first, last + 1))
    assert recovery.dropped_clicks == last + 1 - first


def test_a_lost_page_costs_the_frames_it_touches(orphaned: Orphaned) -> None:
    last_frames = orphaned.frames(1)

    def damage(data: bytearray) -> None:
        data[4096:8192] = bytes(4096)

    orphaned.change(1, damage)
    clicks, recovery = recovered(orphaned.folder)
    lost = [n for start, end, a, z in last_frames if end > 4096 for n in range(a, z + 1)]
    assert lost
    assert clicks == orphaned.without(*lost)
    assert recovery.dropped_clicks == len(lost)

    orphaned.change(0, lambda data: data.__setitem__(slice(4096), bytes(4096)))
    clicks, recovery = recovered(orphaned.folder)
    assert set(clicks) < set(orphaned.clicks)
    assert recovery.dropped_clicks == len(orphaned.clicks) - len(clicks)


def test_a_gap_is_a_batch_of_its_own(orphaned: Orphaned, adopted: OrphanReader) -> None:
    """So that intact frames behind it are counted, and the watermark crosses it."""
    start, _, first, last = orphaned.frames(0)[1]
    orphaned.change(0, lambda data: data.__setitem__(start + 12, data[start + 12] ^ 1))
    read_batches = list(batches(adopted))
    assert Batch(first, last, b"") in read_batches
    assert read_batches[0].last == first - 1
    assert read_batches[2].first == last + 1
    assert adopted.dropped_clicks == last + 1 - first


@pytest.mark.parametrize("missing", [0, 1])
def test_a_segment_that_is_gone(orphaned: Orphaned, missing: int) -> None:
    first = orphaned.frames(missing)[0][2]
    last = orphaned.frames(missing)[-1][3]
    orphaned.segments[missing].unlink()
    clicks, recovery = recovered(orphaned.folder)
    assert clicks == orphaned.without(*range(first, last + 1))
    assert recovery.dropped_clicks == last + 1 - first
    # Committed segments are deleted, so clicks at or below the watermark are not lost.
    clicks, recovery = recovered(orphaned.folder, after=last)
    assert set(clicks) >= set(range(last + 1, len(orphaned.clicks) + 1))
    assert recovery.dropped_clicks == 0


def flip_bit(data: bytearray, at: int) -> None:
    data[at] ^= 1


def test_damage_that_is_read_twice_is_counted_once(
    orphaned: Orphaned, adopted: OrphanReader
) -> None:
    for segment in (0, 1):
        start, _, _, _ = orphaned.frames(segment)[1]
        orphaned.change(segment, partial(flip_bit, at=start))
    list(batches(adopted))
    dropped = (adopted.dropped_clicks, adopted.dropped_bytes)
    assert adopted.holds_clicks()
    for _ in range(3):
        list(batches(adopted))
        assert (adopted.dropped_clicks, adopted.dropped_bytes) == dropped


def test_frames_written_again_in_a_new_segment_are_not_damage(orphaned: Orphaned) -> None:
    """After a failed sync the frames are written again, and may be in the old segment too."""
    _, end, first, _ = orphaned.frames(0)[-2]
    again = orphaned.segments[0].with_name(f"{first:020d}.segment")
    start = orphaned.frames(0)[-2][0]
    data = orphaned.segments[0].read_bytes()
    again.write_bytes(data[:HEADER_BYTES] + data[start:])
    clicks, recovery = recovered(orphaned.folder)
    assert clicks == orphaned.clicks
    assert (recovery.dropped_clicks, recovery.dropped_bytes) == (0, 0)
    assert end > start


def test_a_frame_forged_in_a_visitors_text_is_not_read(tmp_path: Path) -> None:
    """Its first sequence implies more lost clicks than the damaged bytes could have held."""
    forged = encode_frame(10**6, [encode_record(click(link_id=666, user_agent=b"", language=b""))])
    records = [encode_record(click(link_id=1, user_agent=forged))]
    recorder = Recorder(tmp_path)
    recorder.journal.open()
    recorder.append(1)
    recorder.journal.append(records)
    recorder.append(1)
    recorder.journal.close(remove=False)
    path = next(recorder.journal.folder.glob("*.segment"))
    data = bytearray(path.read_bytes())
    at = [frame.start for frame in frames(bytes(data), HEADER_BYTES)][1]
    data[at] ^= 1
    path.write_bytes(data)
    clicks, recovery = recovered(recorder.journal.folder)
    assert [(n, recorded.link_id) for n, recorded in clicks.items()] == [(1, 1), (3, 2)]
    assert recovery.dropped_clicks == 1


def test_an_empty_journal_holds_no_clicks(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.journal.open()
    recorder.journal.close(remove=False)
    recovery = OrphanReader(recorder.journal.folder)
    assert recovery.adopt()
    assert not recovery.holds_clicks()
    assert recovery.read(0, 1) is None
    recovery.close(remove=True)
    assert not recovery.folder.exists()


def test_a_discarded_journal_can_be_adopted_and_removed(orphaned: Orphaned) -> None:
    """Its process ended after the deletion of the clicks and before that of the row."""
    discard(orphaned.folder, DiskFileSystem())
    released: list[str] = []
    recovery = OrphanReader(orphaned.folder, released=released.append)
    assert recovery.adopt()
    assert not recovery.holds_clicks()
    assert recovery.bytes_on_disk == 0
    recovery.discard()
    recovery.close(remove=True)
    assert released == [orphaned.folder.name]
    assert orphans(orphaned.folder.parent) == []


def test_a_deletion_that_fails_halfway_can_be_tried_again(orphaned: Orphaned) -> None:
    recovery = OrphanReader(orphaned.folder, FaultyFiles())
    assert recovery.adopt()
    last = [batch.last for batch in batches(recovery)][-1]
    remove, left = os.unlink, [orphaned.segments[0]]

    class Stubborn(DiskFileSystem):
        def remove(self, path: Path) -> None:
            if path in left:
                raise OSError(5, "input/output error")
            remove(path)

    recovery._files = Stubborn()
    for _ in range(2):
        with pytest.raises(OSError, match="input/output"):
            recovery.discard()
        assert recovery.holds_clicks()
        assert recovery.read(last, 1) is None
    left.clear()
    for _ in range(2):
        recovery.discard()
        assert not recovery.holds_clicks()
    recovery.close(remove=True)


def test_an_orphan_has_one_reader_at_a_time(orphaned: Orphaned, adopted: OrphanReader) -> None:
    assert not OrphanReader(orphaned.folder).adopt()
    adopted.close(remove=True)
    assert not OrphanReader(orphaned.folder).adopt()


def test_other_files_are_not_journals(orphaned: Orphaned) -> None:
    (orphaned.folder.parent / "lost+found").mkdir()
    (orphaned.folder.parent / ("0" * 32 + ".new")).mkdir()
    (orphaned.folder / "notes.segment").write_bytes(b"")
    (orphaned.folder / f"{5:020d}.new").write_bytes(b"half")
    assert orphans(orphaned.folder.parent) == [orphaned.folder]
    clicks, _ = recovered(orphaned.folder)
    assert clicks == orphaned.clicks
    assert orphans(orphaned.folder / "nowhere") == []
    recovery = OrphanReader(orphaned.folder)
    assert recovery.adopt()
    recovery.close(remove=True)
    assert not orphaned.folder.exists()
