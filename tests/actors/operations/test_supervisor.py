"""Supervisors: restarts with backoff, giving up, order of start and stop; all in virtual time."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from actors.operations.supervisor import ChildSpec, EscalationError, Supervisor, group
from engine.operations.actor_tree import ActorStatus


class Actors:
    """Children that record their starts and ends."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.starts: list[float] = []

    def lives(self, name: str) -> ChildSpec:
        async def start() -> None:
            self.story.append(f"{name} starts")
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                self.story.append(f"{name} ends")

        return ChildSpec(name=name, start=start)

    def crashes(self, name: str, after_s: float = 0.0) -> ChildSpec:
        async def start() -> None:
            self.starts.append(trio.current_time())
            await trio.sleep(after_s)
            raise ValueError("out of order")

        return ChildSpec(name=name, start=start)


def leaf(error: BaseException) -> BaseException:
    """Return the only error in nested groups."""
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return error


async def run_for(seconds: float, supervisor: Supervisor) -> None:
    with trio.move_on_after(seconds):
        await supervisor.run()


@pytest.mark.parametrize("seed", range(8))
async def test_children_start_in_order_and_stop_in_reverse(
    autojump_clock: MockClock, seed: int
) -> None:
    actors = Actors()
    names = [f"{seed}-{n}" for n in range(5)]
    await run_for(10, Supervisor("tree", [actors.lives(name) for name in names]))
    assert actors.story == [
        *(f"{name} starts" for name in names),
        *(f"{name} ends" for name in reversed(names)),
    ]


async def test_a_crash_restarts_that_child_only(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    actors = Actors()
    tree = Supervisor(
        "tree", [actors.lives("one"), actors.crashes("two", 7), actors.lives("three")]
    )
    await run_for(20, tree)
    assert actors.story == ["one starts", "three starts", "three ends", "one ends"]
    assert len(actors.starts) == 3
    first, second = tree.children["one"], tree.children["two"]
    assert (second.restarts, second.last_error) == (2, "ValueError: out of order")
    assert (first.running, first.restarts, first.last_error) == (False, 0, "")
    assert [record.event for record in caplog.records] == ["actor_crashed"] * 2  # type: ignore[attr-defined]


async def test_restarts_back_off_and_then_escalate(
    autojump_clock: MockClock,
) -> None:
    actors = Actors()
    tree = Supervisor("tree", [actors.crashes("bad")], intensity=4, period_s=60)
    with pytest.raises(ExceptionGroup) as caught:
        await tree.run()
    waits = [
        later - earlier for earlier, later in zip(actors.starts, actors.starts[1:], strict=False)
    ]
    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.4])
    error = leaf(caught.value)
    assert isinstance(error, EscalationError)
    assert str(error) == "tree/bad crashed 5 times in 60 s, last: ValueError: out of order"


async def test_escalation_stops_the_others_in_reverse(
    autojump_clock: MockClock,
) -> None:
    actors = Actors()
    children = [actors.lives("one"), actors.crashes("bad"), actors.lives("two")]
    with pytest.raises(ExceptionGroup) as caught:
        await Supervisor("tree", children, intensity=2).run()
    assert isinstance(leaf(caught.value), EscalationError)
    assert actors.story[-2:] == ["two ends", "one ends"]


async def test_crashes_that_are_far_apart_do_not_add_up(
    autojump_clock: MockClock,
) -> None:
    actors = Actors()
    tree = Supervisor("tree", [actors.crashes("rare", 31)], intensity=2, period_s=60)
    await run_for(1000, tree)
    assert len(actors.starts) > 25
    assert tree.children["rare"].restarts == len(actors.starts) - 1


async def test_jitter_stretches_the_backoff(autojump_clock: MockClock) -> None:
    actors = Actors()
    tree = Supervisor("tree", [actors.crashes("bad")], jitter=lambda: 2.0)
    await run_for(0.25, tree)
    assert actors.starts[1] - actors.starts[0] == pytest.approx(0.1)


async def test_a_child_that_returns_is_not_restarted(
    autojump_clock: MockClock,
) -> None:
    runs: list[float] = []

    async def once() -> None:
        runs.append(trio.current_time())

    tree = Supervisor("tree", [ChildSpec(name="once", start=once), Actors().lives("other")])
    await run_for(50, tree)
    assert len(runs) == 1
    assert not tree.children["once"].running
    assert tree.children["once"].done
    assert not tree.children["other"].done


@pytest.mark.parametrize("when", ["starting", "backing off", "at once"])
async def test_a_stop_at_any_moment_ends_all_children(autojump_clock: MockClock, when: str) -> None:
    actors = Actors()
    tree = Supervisor("tree", [actors.lives("one"), actors.crashes("bad", 5), actors.lives("two")])
    seconds = {"starting": 0.0, "backing off": 5.02, "at once": 3.0}[when]
    with trio.fail_after(30):
        await run_for(seconds, tree)
    assert [line for line in actors.story if "ends" in line] in (
        ["two ends", "one ends"],
        ["one ends"],
    )
    assert not any(state.running for state in tree.children.values())


async def test_a_child_that_fails_during_its_stop_delays_no_other(
    autojump_clock: MockClock,
) -> None:
    actors = Actors()

    async def start() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cannot even stop")

    stubborn: Callable[[], Awaitable[None]] = start
    tree = Supervisor("tree", [actors.lives("one"), ChildSpec(name="stubborn", start=stubborn)])
    await run_for(5, tree)
    assert actors.story == ["one starts", "one ends"]


async def test_a_group_of_errors_is_a_crash(autojump_clock: MockClock) -> None:
    starts: list[float] = []

    async def start() -> None:
        starts.append(trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("inside of a nursery")

    tree = Supervisor("tree", [ChildSpec(name="nested", start=start)])
    await run_for(0.1, tree)
    assert len(starts) == 2
    assert "inside of a nursery" in tree.children["nested"].last_error or "1 sub-exception" in (
        tree.children["nested"].last_error
    )


async def test_a_group_that_gives_up_is_restarted_as_a_whole(
    autojump_clock: MockClock,
) -> None:
    actors = Actors()
    inner = group("inner", [actors.lives("one"), actors.crashes("bad")])
    tree = Supervisor("tree", [actors.lives("other"), inner])
    await run_for(12, tree)
    state = tree.children["inner"]
    assert state.restarts >= 2
    assert state.last_error.startswith(
        "inner/bad crashed 6 times in 60 s, last: ValueError: out of"
    )
    # The other children of the group were restarted with it, those outside were not.
    assert actors.story.count("one starts") == state.restarts + 1
    assert actors.story.count("other starts") == 1
    assert len(actors.starts) > 6 * state.restarts


async def test_a_group_that_keeps_giving_up_ends_its_supervisor(
    autojump_clock: MockClock,
) -> None:
    actors = Actors()
    tree = Supervisor("tree", [group("inner", [actors.crashes("bad")])])
    with pytest.raises(ExceptionGroup) as caught:
        await tree.run()
    assert str(leaf(caught.value)).startswith(
        "tree/inner crashed 11 times in 60 s, last: inner/bad"
    )
    assert trio.current_time() > 30, "the children outside of the group run on meanwhile"


async def test_nodes_have_their_children_and_statuses(autojump_clock: MockClock) -> None:
    actors = Actors()
    reported = ActorStatus(3, {"pending_clicks": 7}, "away")
    reporting = ChildSpec(name="reporting", start=trio.sleep_forever, status=lambda: reported)
    tree = Supervisor("tree", [group("inner", [reporting, actors.crashes("bad", 4)])])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(10)
        (inner,) = tree.nodes()
        nursery.cancel_scope.cancel()
    first, second = inner.children
    assert (inner.kind, inner.running, inner.restarts) == ("supervisor", True, 0)
    assert (first.kind, first.mailbox, first.lag) == ("actor", 3, {"pending_clicks": 7})
    assert (first.last_error, first.crashes, round(first.for_s)) == ("away", 0, 10)
    assert (second.restarts, second.crashes, second.last_error) == (
        2,
        2,
        "ValueError: out of order",
    )
    assert second.mailbox is None
