"""A bounded mailbox, and a dispatcher that serves the mailboxes of a great many actors with a few tasks.

An idle actor costs no task: an actor with messages stands in the run queue once, and a task of the dispatcher
lets it handle its messages one after the other. So an actor never runs twice at the same time.
"""

from collections import deque
from typing import Any, Final, Protocol

import trio

MAX_MESSAGES: Final = 64


class Actor(Protocol):
    mailbox: "Mailbox"

    async def handle_message(self, message: Any) -> None:
        """Handle one message. An error that escapes ends the task, which its supervisor restarts."""


class Mailbox:
    """Messages in order of arrival; `waiting` while its actor stands in the run queue or runs."""

    __slots__ = ("messages", "waiting")

    def __init__(self) -> None:
        self.messages: deque[Any] = deque()
        self.waiting = False


class Dispatcher:
    """The run queue. Call `send` from any synchronous code of the trio thread; `run_one` is one task."""

    def __init__(self) -> None:
        self._queue: deque[Actor] = deque()
        self._queued = trio.Event()
        self.refused = 0

    def send(self, actor: Actor, message: Any) -> bool:
        """Put a message into the actor's mailbox. Returns False, and counts it, when that is full: the
        sender must cope."""
        mailbox = actor.mailbox
        if len(mailbox.messages) >= MAX_MESSAGES:
            self.refused += 1
            return False
        mailbox.messages.append(message)
        if not mailbox.waiting:
            mailbox.waiting = True
            self._queue.append(actor)
            self._queued.set()
        return True

    async def run_one(self) -> None:
        """Serve actors with messages until cancelled. Several tasks may run it at the same time."""
        while True:
            while not self._queue:
                self._queued = trio.Event()
                await self._queued.wait()
            actor = self._queue.popleft()
            try:
                await actor.handle_message(actor.mailbox.messages.popleft())
            finally:
                if actor.mailbox.messages:
                    self._queue.append(actor)
                    self._queued.set()
                else:
                    actor.mailbox.waiting = False

    @property
    def waiting(self) -> int:
        """Actors with messages that no task has taken yet."""
        return len(self._queue)
