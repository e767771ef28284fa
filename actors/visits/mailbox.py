"""Bounded mailboxes, and a dispatcher that serves those of a great many actors with a few tasks.

An idle actor costs no task and has no mailbox: it gets one with its first message, stands in the run queue
once, and a task of the dispatcher lets it handle its messages one after the other. So an actor never runs twice
at the same time.
"""

from collections import deque
from typing import Any, Final, Protocol

import trio

MAX_MESSAGES: Final = 64


class Actor(Protocol):
    async def handle_message(self, message: Any) -> None:
        """Handle one message. An error that escapes ends the task, which its supervisor restarts."""


class Dispatcher:
    """The run queue. Call `send` from any synchronous code of the trio thread; `run_one` is one task."""

    def __init__(self) -> None:
        # Messages in order of arrival, of each actor that stands in the run queue or runs.
        self._mailboxes: dict[Actor, deque[Any]] = {}
        self._queue: deque[Actor] = deque()
        self._queued = trio.Event()
        self.refused = 0

    def send(self, actor: Actor, message: Any) -> bool:
        """Put a message into the actor's mailbox. Returns False, and counts it, when that is full: the
        sender must cope."""
        mailbox = self._mailboxes.get(actor)
        if mailbox is None:
            self._mailboxes[actor] = deque((message,))
            self._queue.append(actor)
            self._queued.set()
            return True
        if len(mailbox) >= MAX_MESSAGES:
            self.refused += 1
            return False
        mailbox.append(message)
        return True

    def has_messages(self, actor: Actor) -> bool:
        """Return whether the actor stands in the run queue or runs."""
        return actor in self._mailboxes

    async def run_one(self) -> None:
        """Serve actors with messages until cancelled. Several tasks may run it at the same time."""
        while True:
            while not self._queue:
                self._queued = trio.Event()
                await self._queued.wait()
            actor = self._queue.popleft()
            mailbox = self._mailboxes[actor]
            try:
                await actor.handle_message(mailbox.popleft())
            finally:
                if mailbox:
                    self._queue.append(actor)
                    self._queued.set()
                else:
                    del self._mailboxes[actor]

    @property
    def waiting(self) -> int:
        """Actors with messages that no task has taken yet."""
        return len(self._queue)
