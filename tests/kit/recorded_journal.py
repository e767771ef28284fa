"""A journal under test, with the click of every sequence that it recorded, and every click that it refused."""

from collections.abc import Iterator
from pathlib import Path

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.journal_format import clicks, encode_record, validate_frames
from storage.clicks.journal import Journal
from storage.clicks.recovery import OrphanReader
from storage.file_system import FileSystem
from tests.kit.shipped_batches import click

SEGMENT_BYTES = 8 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """A recorder of clicks that are all different; it remembers recorded and refused clicks."""

    def __init__(
        self,
        folder: Path,
        files: FileSystem | None = None,
        *,
        max_segments: int = 100,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.clock = Clock()
        self.journal = Journal(
            folder,
            segment_bytes=segment_bytes,
            max_bytes=max_segments * segment_bytes,
            sync_ms=100,
            files=files,
            clock=self.clock,
            wall_us=lambda: 0,
        )
        self.recorded: list[Click] = []
        self.refused: list[Click] = []
        self.on_the_way: list[Click] = []
        self.committed = 0
        self._serial = 0

    def append(self, count: int, text: int = 40) -> bool:
        """Record `count` clicks with `text` bytes of user agent each."""
        new_clicks = []
        for _ in range(count):
            self._serial += 1
            new_clicks.append(click(link_id=self._serial, user_agent=b"x" * text))
        self.on_the_way = new_clicks
        taken = self.journal.append([encode_record(new_click) for new_click in new_clicks])
        (self.recorded if taken else self.refused).extend(new_clicks)
        self.on_the_way = []
        return taken

    def check_accounts(self) -> None:
        """Assert that each click is counted once, as recorded or as unrecorded."""
        assert self.journal.appended == len(self.recorded)
        assert sum(self.journal.unrecorded.values()) == len(self.refused)

    def read_all(self, max_bytes: int = 1) -> list[Click]:
        """Return the clicks that a shipper would read."""
        return list(contents(batches(self.journal, max_bytes)))


def batches(source: Journal | OrphanReader, max_bytes: int = 1, after: int = 0) -> Iterator[Batch]:
    """Yield the batches behind `after`, as a shipper reads them: without a gap."""
    while (batch := source.read(after, max_bytes)) is not None:
        assert batch.first <= after + 1 <= batch.last
        after = batch.last
        yield batch


def contents(batches: Iterator[Batch]) -> Iterator[Click]:
    for batch in batches:
        assert all(validate_frames(batch))
        yield from clicks(batch.payload)


def recovered(
    folder: Path, after: int = 0, max_bytes: int = 1
) -> tuple[dict[int, Click], OrphanReader]:
    """Return the recovered clicks by sequence, and the orphan's reader, closed."""
    recovery = OrphanReader(folder)
    assert recovery.adopt()
    clicks_by_sequence: dict[int, Click] = {}
    for batch in batches(recovery, max_bytes, after):
        if batch.payload:
            assert all(validate_frames(batch))
            clicks_by_sequence.update(enumerate(clicks(batch.payload), batch.first))
    recovery.close(remove=False)
    return clicks_by_sequence, recovery
