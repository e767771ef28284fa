"""The journal keeps its promises while the disk fails, the process is killed, and the power goes.

The promises, for every click of an append:
- it is either recorded or counted as unrecorded;
- recovery reads every recorded click after the process is killed;
- recovery reads every click up to `synced` after a power loss;
- recovery reads no other click, none twice, and each under its own sequence.
"""

import errno
from collections.abc import Collection, Iterator
from pathlib import Path
from random import Random

import pytest

from engine.clicks.click import Click
from engine.clicks.journal_format import MAX_FRAME_CLICKS
from engine.common.errors import WaypostError
from storage.clicks.journal import Journal
from storage.clicks.recovery import OrphanReader, orphans
from tests.kit.faulty_files import Fault, FaultyFiles, Killed, Script, dead
from tests.kit.recorded_journal import SEGMENT_BYTES, Recorder, batches, recovered

STEPS = 60
OPENING = 7  # operations of `open`
FAULTS = [
    Fault(code, when) for code in (errno.EIO, errno.ENOSPC) for when in ("before", "short", "after")
]


async def story(recorder: Recorder, random: Random) -> None:
    """Use the journal as an edge does: appends of all sizes, syncs, reads, forgetting, time."""
    journal = recorder.journal
    for _ in range(STEPS):
        choice = random.random()
        if choice < 0.6:
            recorder.append(random.choice([1, 1, 3, 12, 40]), random.choice([0, 20, 200]))
        elif choice < 0.8:
            await journal.sync()
        elif choice < 0.87:
            recorder.clock.now += random.choice([0.3, 1.5])
        elif choice < 0.9:
            journal.seal(1.0)
        else:
            recorder.committed = min(journal.synced, recorder.committed + random.randrange(200))
            journal.forget(recorder.committed)
        recorder.check_accounts()
        journal.read(recorder.committed, 1)
    behind = recorder.committed
    for batch in batches(journal, after=behind):
        behind = batch.last
    assert behind == journal.synced


async def settle(recorder: Recorder) -> None:
    """Check that recording resumes by itself once the disk works."""
    for _ in range(6):
        recorder.clock.now += 2
        await recorder.journal.sync()
        if recorder.append(1) and await recorder.journal.sync():
            break
    assert recorder.journal.failed is None
    assert recorder.journal.synced == recorder.journal.appended
    recorder.check_accounts()


async def number_of_operations(folder: Path, seed: int) -> int:
    files = FaultyFiles()
    recorder = Recorder(folder / "count", files)
    recorder.journal.open()
    await story(recorder, Random(seed))
    operations = files.operations
    recorder.journal.close(remove=True)
    return operations


def check_recovered(recorder: Recorder, *, at_least: int, maybe: Collection[Click] = ()) -> None:
    """Check that recovery reads the recorded clicks; the frame being written may be there, in part or whole.

    Above `at_least`, clicks of `maybe` are allowed, too.
    """
    recovered_clicks, _ = recovered(recorder.journal.folder, after=recorder.committed)
    recorded = dict(enumerate([*recorder.recorded, *recorder.on_the_way], 1))
    for sequence, click in recovered_clicks.items():
        assert recorded.get(sequence) == click or (sequence > at_least and click in maybe)
    assert len(set(recovered_clicks.values())) == len(recovered_clicks)
    missing = set(range(recorder.committed + 1, at_least + 1)) - set(recovered_clicks)
    assert not missing, f"clicks {sorted(missing)} are lost"


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path)
    recorder.journal.open()
    yield recorder
    recorder.journal.close(remove=False)


async def test_only_synced_clicks_can_be_read(recorder: Recorder) -> None:
    journal = recorder.journal
    assert recorder.append(3)
    assert journal.appended == 3
    assert journal.synced == 0
    assert journal.read(0, 1) is None
    assert await journal.sync()
    recorder.append(2)
    assert recorder.read_all() == recorder.recorded[:3]
    await journal.sync()
    assert recorder.read_all() == recorder.recorded


async def test_more_clicks_than_a_frame_holds(recorder: Recorder) -> None:
    assert recorder.append(2 * MAX_FRAME_CLICKS + 1, text=0)
    await recorder.journal.sync()
    assert recorder.read_all() == recorder.recorded


async def test_an_append_larger_than_a_segment(recorder: Recorder) -> None:
    for count in (200, 1, 300, 300):
        assert recorder.append(count)
    await recorder.journal.sync()
    assert recorder.read_all() == recorder.recorded
    recorder.committed = 501
    recorder.journal.forget(501)
    assert [batch.last for batch in batches(recorder.journal, after=501)][-1] == 801
    check_recovered(recorder_killed(recorder), at_least=801)


async def test_reading_starts_anywhere(recorder: Recorder) -> None:
    for count in (5, 1, 30, 2):
        recorder.append(count)
    await recorder.journal.sync()
    for after in (37, 0, 5, 20, 6, 36, 4):
        read = list(batches(recorder.journal, after=after))
        assert read[-1].last == 38
        assert recorder.journal.read(38, 1) is None


async def test_the_limit_refuses_and_forgetting_lifts_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, max_segments=3)
    journal = recorder.journal
    journal.open()
    while recorder.append(20):
        await journal.sync()
    assert journal.failed == "limit"
    assert journal.bytes_on_disk == 3 * SEGMENT_BYTES
    assert journal.unrecorded == {"limit": 20}
    first_of_second = int(sorted(journal.folder.glob("*.segment"))[1].stem)
    journal.forget(first_of_second - 2)
    assert journal.failed == "limit"
    journal.forget(first_of_second - 1)
    # No visitor is needed for this: a load balancer may ask for health first.
    assert not journal.failed
    assert recorder.append(20)
    recorder.check_accounts()
    journal.close(remove=True)
    assert not journal.folder.exists()


async def test_a_disk_that_does_not_keep_up(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = recorder.journal
    monkeypatch.setattr("storage.clicks.journal._MAX_UNSYNCED_BYTES", 5_000)
    while recorder.append(20):
        pass
    assert journal.failed == "behind"
    await journal.sync()
    assert not journal.failed
    assert recorder.append(20)
    recorder.check_accounts()


async def test_a_full_disk_is_called_full_and_recording_resumes_after_a_while(
    tmp_path: Path,
) -> None:
    files = FaultyFiles()
    recorder = Recorder(tmp_path, files)
    journal = recorder.journal
    journal.open()
    recorder.append(1)
    files.decide = lambda operation, number: Fault(errno.ENOSPC)
    assert not recorder.append(4)
    assert not await journal.sync()
    assert not recorder.append(4)
    assert journal.unrecorded == {"full": 8}
    files.decide = lambda operation, number: None
    recorder.clock.now += 0.9
    assert not recorder.append(2)
    recorder.clock.now += 0.2
    assert recorder.append(3)
    await journal.sync()
    assert recorder.read_all() == recorder.recorded
    recorder.check_accounts()
    journal.close(remove=True)


async def test_without_space_for_a_segment_recorded_clicks_are_still_read(tmp_path: Path) -> None:
    """A segment that cannot be created damages nothing; it is created without new visitors, too."""
    files = FaultyFiles()
    recorder = Recorder(tmp_path, files)
    journal = recorder.journal
    journal.open()
    files.decide = lambda operation, number: Fault(errno.ENOSPC) if operation == "create" else None
    while recorder.append(20):
        pass
    assert journal.failed == "full"
    assert await journal.sync()
    assert recorder.read_all() == recorder.recorded
    recorder.clock.now += 2
    assert await journal.sync()
    assert journal.failed == "full"
    assert journal._dirty.is_set()
    files.decide = lambda operation, number: None
    recorder.clock.now += 2
    assert await journal.sync()
    assert not journal.failed
    assert recorder.append(20)
    check_recovered(recorder_killed(recorder), at_least=len(recorder.recorded))


async def test_a_failed_write_is_repaired_without_visitors(tmp_path: Path) -> None:
    """Nothing is unsynced, and a load balancer sends no visitors to an edge that is not ready."""
    files = FaultyFiles()
    recorder = Recorder(tmp_path, files)
    recorder.journal.open()
    files.decide = lambda operation, number: Fault()
    recorder.append(1)
    files.decide = lambda operation, number: None
    recorder.clock.now += 2
    assert recorder.journal._dirty.is_set()
    assert await recorder.journal.sync()
    assert recorder.journal.failed is None
    recorder.journal.close(remove=True)


async def test_syncs_at_the_same_time(tmp_path: Path) -> None:
    """The last sync of a drain may meet the task's own."""
    import trio

    files = FaultyFiles()
    recorder = Recorder(tmp_path, files)
    recorder.journal.open()
    recorder.append(3)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(recorder.journal.sync)
            await trio.lowlevel.checkpoint()
            recorder.append(2)
    files.decide = lambda operation, number: Fault() if operation == "sync" else None
    recorder.append(1)
    assert not await recorder.journal.sync()
    files.decide = lambda operation, number: None
    recorder.clock.now += 2
    assert await recorder.journal.sync()
    assert recorder.read_all() == recorder.recorded
    check_recovered(recorder_killed(recorder), at_least=len(recorder.recorded))


async def test_failing_syncs_do_not_take_more_than_the_limit(tmp_path: Path) -> None:
    files = FaultyFiles()
    recorder = Recorder(tmp_path, files, max_segments=3)
    journal = recorder.journal
    journal.open()
    for _ in range(20):
        recorder.append(5)
        await journal.sync()
        recorder.append(5)
        files.decide = lambda operation, number: Fault() if operation == "sync" else None
        await journal.sync()
        files.decide = lambda operation, number: None
        recorder.clock.now += 2
        recorder.append(1)
        assert len(list(journal.folder.glob("*.segment"))) <= 4
    assert journal.failed == "limit"
    journal.forget(journal.synced)
    await settle(recorder)
    journal.close(remove=True)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.when}-{fault.errno}")
async def test_any_operation_may_fail(tmp_path: Path, fault: Fault) -> None:
    seed = 3
    total = await number_of_operations(tmp_path, seed)
    for number in range(OPENING, total):
        files = FaultyFiles(Script({number: fault}), Random(number))
        recorder = Recorder(tmp_path / str(number), files)
        recorder.journal.open()
        await story(recorder, Random(seed))
        await settle(recorder)
        assert files.failed == 1
        check_recovered(recorder_killed(recorder), at_least=recorder.journal.appended)


@pytest.mark.parametrize("number", range(OPENING))
def test_a_journal_that_cannot_be_opened(tmp_path: Path, number: int) -> None:
    recorder = Recorder(tmp_path, FaultyFiles(Script({number: Fault()})))
    with pytest.raises(WaypostError, match="cannot write the journal"):
        recorder.journal.open()
    dead(recorder.journal)


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("power", [False, True], ids=["kill", "power"])
async def test_killed_at_any_moment(tmp_path: Path, power: bool, part: int) -> None:
    """Kill the writer after faults, and in the middle of the repair."""
    for seed in range(part, 200, 4):
        random = Random(seed)
        total = await number_of_operations(tmp_path, seed)
        first = random.randrange(OPENING, total)
        number = random.randrange(OPENING, total + 6)
        script: dict[int, Fault | BaseException] = {}
        if seed % 3:
            script[first] = random.choice(FAULTS)
            number = min(total, first + random.choice([2, 3, 4, 5, 6, 8, 15]))
        if seed % 3 == 2:
            script[first + random.randrange(2, 6)] = random.choice(FAULTS)
        script[number] = Killed()
        files = FaultyFiles(Script(script), random)
        recorder = Recorder(tmp_path / f"{seed}-{power}", files)
        recorder.journal.open()
        try:
            await story(recorder, Random(seed))
            await settle(recorder)
        except Killed:
            pass
        at_least, maybe = recorder.journal.appended, []
        if seed % 3 == 2:
            # A write that got through and failed, the blotting out too, and then the process ended.
            maybe = recorder.refused
        if power:
            # A write that failed and was blotted out: the disk may have seen only the first of the two.
            at_least, maybe = recorder.journal.synced, recorder.refused
            files.lose_power(recorder.journal.folder)
        else:
            files.let_go()
        dead(recorder.journal)
        try:
            check_recovered(recorder, at_least=at_least, maybe=maybe)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def recorder_killed(recorder: Recorder) -> Recorder:
    dead(recorder.journal)
    return recorder


def test_a_journal_is_no_orphan_while_its_writer_runs(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    assert orphans(tmp_path) == []
    recorder.journal.open()
    assert orphans(tmp_path) == [recorder.journal.folder]
    assert not OrphanReader(recorder.journal.folder).adopt()
    recorder.journal.close(remove=False)
    assert OrphanReader(recorder.journal.folder).adopt()


def test_a_journal_is_locked_before_its_folder_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Recorder(tmp_path).journal
    acquire = journal._lock.acquire

    def acquire_late() -> bool:
        assert orphans(tmp_path) == []
        return acquire()

    monkeypatch.setattr(journal._lock, "acquire", acquire_late)
    journal.open()
    assert orphans(tmp_path) == [journal.folder]
    journal.close(remove=True)


async def test_a_discarded_journal_leaves_an_empty_folder(recorder: Recorder) -> None:
    recorder.append(200)
    await recorder.journal.sync()
    recorder.journal.discard()
    assert [path.name for path in recorder.journal.folder.iterdir()] == ["lock"]


def test_bytes_are_those_of_the_segments(recorder: Recorder) -> None:
    assert recorder.journal.bytes_on_disk == SEGMENT_BYTES
    for _ in range(9):
        recorder.append(20)
    (size,) = {path.stat().st_size for path in recorder.journal.folder.glob("*.segment")}
    assert size == SEGMENT_BYTES
    assert isinstance(recorder.journal, Journal)
