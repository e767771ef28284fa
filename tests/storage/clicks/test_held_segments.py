"""Segments held for a backup: whatever the writer and the watermarks do meanwhile, no click is missing."""

import random
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from engine.clicks.click import Click
from engine.clicks.journal_format import MAX_FRAME_BYTES, encode_frame, encode_record
from storage.clicks.held_segments import HeldSegment, HeldSegments, JournalState
from tests.kit.recorded_journal import Recorder, recovered
from tests.kit.shipped_batches import click


def state(committed: int, *, retired: bool = False) -> JournalState:
    return JournalState(committed, retired)


def restored(folder: Path, segments: list[HeldSegment], after: int) -> dict[int, Click]:
    """Write the segments as restore does, and read them as an edge does; nothing may be damaged."""
    folder.mkdir(parents=True)
    for segment in segments:
        content = b"".join(segment.chunks())
        assert len(content) == segment.end
        (folder / f"{segment.first:020d}.segment").write_bytes(content + bytes(MAX_FRAME_BYTES))
    clicks, reader = recovered(folder, after)
    assert reader.dropped_clicks == 0
    # Frames are read whole.
    return {sequence: click for sequence, click in clicks.items() if sequence > after}


class LiveJournal:
    """A journal whose writer goes on, and a database that commits and lets it delete segments."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.recorder = Recorder(folder)
        self.journal = self.recorder.journal
        self.journal.open()
        self.committed = 0
        self._dice = dice

    def work(self) -> None:
        for _ in range(self._dice.choice((0, 1, 5, 40))):
            self.recorder.append(self._dice.randrange(1, 30))
            if self._dice.random() < 0.3:
                self.committed = self._dice.randint(self.committed, self.journal.appended)
                self.journal.forget(self.committed)
            if self._dice.random() < 0.05:
                self.recorder.clock.now += 1000
                self.journal.seal(1)


@pytest.mark.parametrize("seed", range(12))
def test_every_click_above_the_watermark_is_held(seed: int, tmp_path: Path) -> None:
    live = LiveJournal(tmp_path / "journals", random.Random(seed))
    segments = HeldSegments(tmp_path / "journals")
    live.work()
    segments.hold()
    while True:
        live.work()
        committed, appended = live.committed, live.journal.appended
        live.work()
        segments.hold()
        at_second_look = live.journal.appended
        states = {live.journal.id: state(committed)}
        if not segments.unsure(states):
            break
    needed = segments.needed(states)
    live.work()  # what is copied ends at the second look
    clicks = restored(tmp_path / "restored" / live.journal.id.hex, needed, committed)
    segments.close()
    live.journal.close(remove=False)
    assert appended <= at_second_look
    sequences = range(committed + 1, at_second_look + 1)
    assert clicks == {n: live.recorder.recorded[n - 1] for n in sequences}


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    recorder = Recorder(tmp_path)
    recorder.journal.open()
    return recorder


def until_segments(recorder: Recorder, count: int) -> list[int]:
    """Record until there are `count` segments. Returns their first sequences."""
    while len(files := sorted(recorder.journal.folder.glob("*.segment"))) < count:
        recorder.append(11)
    return [int(file.stem) for file in files]


def test_a_segment_that_came_and_went_unseen_is_suspected(
    tmp_path: Path, recorder: Recorder
) -> None:
    segments, journal = HeldSegments(tmp_path), recorder.journal
    first, second = until_segments(recorder, 2)
    segments.hold()
    _, _, third, fourth = until_segments(recorder, 4)
    journal.forget(fourth - 1)
    segments.hold()
    # The snapshot has nothing of the third, which was not there before and is not there now.
    assert segments.unsure({journal.id: state(second)}) == [journal.id]
    assert segments.unsure({journal.id: state(third)}) == [journal.id]
    # It has all of it; or the next look finds the fourth again.
    assert segments.unsure({journal.id: state(fourth - 1)}) == []
    segments.hold()
    assert segments.unsure({journal.id: state(second)}) == []
    assert first == 1
    segments.close()
    journal.close(remove=False)


def test_a_journal_that_ended_between_the_looks_is_suspected_unless_it_is_retired(
    tmp_path: Path, recorder: Recorder
) -> None:
    segments, journal = HeldSegments(tmp_path), recorder.journal
    recorder.append(3)
    segments.hold()
    journal.close(remove=True)
    segments.hold()
    assert segments.unsure({journal.id: state(0)}) == [journal.id]
    assert segments.unsure({journal.id: state(3, retired=True)}) == []
    # Its row goes a day later; its clicks would then be counted once more.
    assert segments.needed({journal.id: state(3, retired=True)}) == []
    segments.hold()
    assert segments.unsure({journal.id: state(3)}) == []
    segments.close()


def test_segments_below_the_watermark_are_left_out(tmp_path: Path, recorder: Recorder) -> None:
    segments, journal = HeldSegments(tmp_path), recorder.journal
    first, second, third = until_segments(recorder, 3)
    segments.hold()

    def kept(committed: int) -> list[int]:
        return [segment.first for segment in segments.needed({journal.id: state(committed)})]

    assert kept(second - 2) == [first, second, third]
    assert kept(second - 1) == [second, third]
    assert kept(journal.appended) == [third]
    assert len(segments.needed({journal.id: JournalState(0, False)})) == 3
    segments.close()
    journal.close(remove=False)


def test_a_journal_without_a_row_is_held_whole(tmp_path: Path, recorder: Recorder) -> None:
    segments = HeldSegments(tmp_path)
    recorder.append(3)
    segments.hold()
    segments.hold()
    assert segments.unsure({}) == []
    assert [segment.journal_id for segment in segments.needed({})] == [recorder.journal.id]
    segments.close()
    recorder.journal.close(remove=False)


def test_a_replaced_segment_is_taken_as_it_is_now(tmp_path: Path, recorder: Recorder) -> None:
    segments = HeldSegments(tmp_path)
    recorder.append(3)
    segments.hold()
    (path,) = recorder.journal.folder.glob("*.segment")
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes().rstrip(b"\0") + b"more")
    other.rename(path)
    segments.hold()
    (segment,) = segments.needed({})
    assert b"".join(segment.chunks()).endswith(b"more")
    segments.close()
    recorder.journal.close(remove=False)


def test_zeros_at_the_end_of_the_last_click_are_put_back(
    tmp_path: Path, recorder: Recorder
) -> None:
    ending_in_zeros = click(language=b"it\0\0\0\0")
    recorder.journal.append([encode_record(ending_in_zeros)])
    segments = HeldSegments(tmp_path)
    segments.hold()
    (segment,) = segments.needed({})
    assert not b"".join(segment.chunks()).endswith(b"\0")
    folder = tmp_path / "restored" / UUID(int=1).hex
    assert restored(folder, [segment], 0) == {1: ending_in_zeros}
    segments.close()
    recorder.journal.close(remove=False)


def test_a_frame_that_is_being_written_is_a_torn_end(tmp_path: Path, recorder: Recorder) -> None:
    recorder.append(3)
    (path,) = recorder.journal.folder.glob("*.segment")
    filled = len(path.read_bytes().rstrip(b"\0"))
    frame = encode_frame(4, [encode_record(click(link_id=4))])
    for written in (1, 20, len(frame) - 1):
        with path.open("r+b") as file:
            file.seek(filled)
            file.write(frame[:written])
        segments = HeldSegments(tmp_path)
        segments.hold()
        with path.open("r+b") as file:  # the writer goes on before the copy is made
            file.seek(filled)
            file.write(frame)
        clicks = restored(tmp_path / f"r{written}" / UUID(int=1).hex, segments.needed({}), 0)
        assert sorted(clicks) == [1, 2, 3]
        segments.close()
        with path.open("r+b") as file:
            file.seek(filled)
            file.write(bytes(len(frame)))
    recorder.journal.close(remove=False)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_folder_without_journals_has_nothing(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "journals")
    segments = HeldSegments(tmp_path / "journals")
    segments.hold()
    segments.hold()
    assert (segments.unsure({}), segments.needed({})) == ([], [])
    segments.close()
