"""A journal under test, and what it has promised: the click behind every sequence, and every one it refused."""

from collections.abc import Iterator
from pathlib import Path

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.journal_format import clicks, encode_record, validate_frames
from storage.clicks.files import FileSystem
from storage.clicks.journal import Journal
from storage.clicks.recovery import OrphanReader
from tests.kit.shipped_batches import click

SEGMENT_BYTES = 8 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """Appends clicks that are all different, and keeps account."""

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
        made = []
        for _ in range(count):
            self._serial += 1
            made.append(click(link_id=self._serial, user_agent=b"x" * text))
        self.on_the_way = made
        taken = self.journal.append([encode_record(one) for one in made])
        (self.recorded if taken else self.refused).extend(made)
        self.on_the_way = []
        return taken

    def check_accounts(self) -> None:
        """Each click that was offered is either recorded or counted as not, once."""
        assert self.journal.appended == len(self.recorded)
        assert sum(self.journal.unrecorded.values()) == len(self.refused)

    def read_all(self, max_bytes: int = 1) -> list[Click]:
        """What the shipper gets to see."""
        return list(contents(batches(self.journal, max_bytes)))


def batches(source: Journal | OrphanReader, max_bytes: int = 1, after: int = 0) -> Iterator[Batch]:
    """Everything behind `after`, as a shipper reads it: without a hole."""
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
    """The clicks by sequence that a recovery delivers, and that recovery, closed."""
    recovery = OrphanReader(folder)
    assert recovery.adopt()
    found: dict[int, Click] = {}
    for batch in batches(recovery, max_bytes, after):
        if batch.payload:
            assert all(validate_frames(batch))
            found.update(enumerate(clicks(batch.payload), batch.first))
    recovery.close(remove=False)
    return found, recovery
