"""Progress: work that has not moved for STALL_S is named, and nothing else is."""

from engine.operations.health import Component
from engine.operations.progress import STALL_S, Progress, progress_component


def test_work_stalls_when_it_has_not_moved_for_longer_than_the_limit() -> None:
    progress = Progress()
    assert progress.stall(1_000, "clicks", "") == ""
    progress.begin(1_000)
    assert progress.stalled_s(1_000 + STALL_S) == 0
    assert progress.stall(1_011, "clicks", "") == "clicks: no progress for 11 s"
    assert (
        progress.stall(1_012, "clicks", "away") == "clicks: no progress for 12 s; last error: away"
    )


def test_work_that_stands_still_is_not_begun_anew() -> None:
    progress = Progress()
    progress.begin(0)
    progress.begin(9)
    assert progress.stalled_s(11) == 11


def test_a_step_ends_a_stall_and_so_does_the_end_of_the_work() -> None:
    progress = Progress()
    progress.begin(0)
    progress.moved(20)
    assert (progress.stalled_s(30), progress.stalled_s(31)) == (0, 11)
    progress.idle()
    assert progress.stalled_s(1_000) == 0


def test_a_component_has_the_reason_of_each_stall() -> None:
    assert progress_component("workers-0/jobs", ["", ""]) == Component("workers-0/jobs", True)
    stalled = Component("workers-0/jobs", False, "a; b")
    assert progress_component("workers-0/jobs", ["a", "", "b"]) == stalled
