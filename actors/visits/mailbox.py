"""A bounded mailbox, and the few runners that serve the mailboxes of a great many actors.

No task exists for an idle actor: an actor with mail stands in the run queue once, a runner takes it and lets
it handle its letters one after the other. So an actor never runs twice at the same time, and a million
actors cost no task at all.
"""

from collections import deque
from typing import Any, Final, Protocol

import trio

MAX_LETTERS: Final = 64


class Actor(Protocol):
    mailbox: "Mailbox"

    async def handle_message(self, letter: Any) -> None:
        """Handle one letter. An error that escapes ends the runner, which its supervisor restarts."""


class Mailbox:
    """Letters in order of arrival. `post` answers False when it is full: the sender must cope."""

    __slots__ = ("letters", "waiting")

    def __init__(self) -> None:
        self.letters: deque[Any] = deque()
        self.waiting = False


class Dispatcher:
    """The run queue. Post from any synchronous code of the trio thread; `run` is one runner."""

    def __init__(self) -> None:
        self._queue: deque[Actor] = deque()
        self._news = trio.Event()
        self.posted = 0
        self.refused = 0

    def send(self, actor: Actor, letter: Any) -> bool:
        """Put a letter into the actor's mailbox; False, and counted, when that is full."""
        mailbox = actor.mailbox
        if len(mailbox.letters) >= MAX_LETTERS:
            self.refused += 1
            return False
        mailbox.letters.append(letter)
        self.posted += 1
        if not mailbox.waiting:
            mailbox.waiting = True
            self._queue.append(actor)
            self._news.set()
        return True

    async def run_one(self) -> None:
        """Serve actors with mail until cancelled. Several may run at the same time."""
        while True:
            while not self._queue:
                self._news = trio.Event()
                await self._news.wait()
            actor = self._queue.popleft()
            try:
                await actor.handle_message(actor.mailbox.letters.popleft())
            finally:
                if actor.mailbox.letters:
                    self._queue.append(actor)
                    self._news.set()
                else:
                    actor.mailbox.waiting = False

    @property
    def waiting(self) -> int:
        """Actors with messages that no runner has taken yet."""
        return len(self._queue)
