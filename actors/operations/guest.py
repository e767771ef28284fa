"""Trio's guest run: as trio has it, or with its waiting in the host loop instead of in a thread.

A guest run alternates ticks of trio in the host's thread with waiting for trio's events. Trio lets a thread
wait, and each wait costs two switches of threads and a wake-up of the host. Trio's events are an epoll set,
which the host loop can watch as any other descriptor, beside a timer for trio's next deadline.

Trio has no public way to do that, so `HostedGuest` drives trio's `GuestState` itself: where trio hands it the
first tick to schedule, it takes that over. It does so only with the versions of trio of which it is known that
they work alike; with any other, trio waits in a thread. tests/actors/operations/test_guest.py fails when the
installed trio differs from those.
"""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Sequence
from types import MethodType
from typing import Any, Final, TypeVar

import outcome
import trio
from sniffio import thread_local as current_library

T = TypeVar("T")

FIRST_KNOWN: Final = (0, 30)
LAST_KNOWN: Final = (0, 35)


def start_guest(
    loop: asyncio.AbstractEventLoop,
    main: Callable[[], Awaitable[T]],
    done: Callable[[outcome.Outcome[T]], object],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> None:
    """Start `main()` in trio as the guest of a running loop; `done` gets its outcome, in the loop's thread."""
    guest = HostedGuest(loop, done) if is_known(trio.__version__) else None
    trio.lowlevel.start_guest_run(
        main,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        run_sync_soon_not_threadsafe=loop.call_soon if guest is None else guest.begin,
        done_callback=done,
        host_uses_signal_set_wakeup_fd=True,
        restrict_keyboard_interrupt_to_checkpoints=True,
        clock=clock,
        instruments=instruments,
    )


def is_known(version: str) -> bool:
    """Return whether this version of trio has the guest run that HostedGuest drives."""
    try:
        major, minor = map(int, version.split(".")[:2])
    except ValueError:
        return False
    return FIRST_KNOWN <= (major, minor) <= LAST_KNOWN


class HostedGuest:
    """A guest run of trio that waits in the host loop, by a reader and a timer of it.

    `ticks` counts ticks of trio, `waits` how many of them waited for events.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, done: Callable[[outcome.Outcome[Any]], object]
    ) -> None:
        self._loop = loop
        self._done = done
        self._state: Any = None
        self._descriptor = -1
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = False
        self.ticks = self.waits = 0

    def begin(self, first_tick: Callable[[], object]) -> None:
        """Take over the run whose first tick trio schedules."""
        if not isinstance(first_tick, MethodType):
            raise TypeError("trio's first tick is no method of its guest run")
        self._state = first_tick.__self__
        # A descriptor of its own: trio closes the epoll set before it says that the run is over.
        self._descriptor = os.dup(self._state.runner.io_manager._epoll.fileno())
        self._loop.add_reader(self._descriptor, self._resume)
        self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        state = self._state
        self.ticks += 1
        host_library, current_library.name = current_library.name, "trio"
        try:
            timeout_s = state.unrolled_run_next_send.send(state.unrolled_run_gen)
        except StopIteration:
            self._end(state.runner.main_task_outcome)
            return
        except trio.TrioInternalError as error:
            self._end(outcome.Error(error))
            return
        finally:
            current_library.name = host_library
        events = outcome.capture(state.runner.io_manager.get_events, 0)
        if timeout_s <= 0 or isinstance(events, outcome.Error) or events.value:
            state.unrolled_run_next_send = events
            state.runner.guest_tick_scheduled = True
            self._loop.call_soon(self._tick)
        else:
            self._wait(timeout_s)

    def _wait(self, timeout_s: float) -> None:
        self.waits += 1
        # From here on, whoever schedules a task of trio or moves a deadline writes to trio's epoll set.
        self._state.runner.guest_tick_scheduled = False
        self._waiting = True
        # Timers of the host have whole milliseconds: one that ended too early would only be set again.
        self._timer = self._loop.call_later(math.ceil(timeout_s * 1000) / 1000, self._resume)

    def _resume(self) -> None:
        if not self._waiting:
            return  # the tick that is scheduled looks at the epoll set itself
        self._waiting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        state = self._state
        state.unrolled_run_next_send = outcome.capture(state.runner.io_manager.get_events, 0)
        state.runner.guest_tick_scheduled = True
        self._tick()

    def _end(self, result: outcome.Outcome[Any]) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._done(result)
