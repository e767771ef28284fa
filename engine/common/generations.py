"""A bounded memory of what keys were found to mean, which forgets the keys that nobody asks for."""

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Generations(dict[Key, Value], Generic[Key, Value]):
    """Values by key, made by `make` when they are first asked for; a known one costs a look-up in a dict.

    In two generations of up to `max_known`: a full one becomes the older one, and each of its keys that is
    asked for again comes back. So the keys of many visitors stay, however many others come once.
    """

    def __init__(self, make: Callable[[Key], Value], max_known: int) -> None:
        super().__init__()
        self._make = make
        self._max_known = max_known
        self._older: dict[Key, Value] = {}

    def __missing__(self, key: Key) -> Value:
        try:
            value = self._older[key]
        except KeyError:
            value = self._make(key)
        if len(self) >= self._max_known:
            self._older = dict(self)
            self.clear()
        self[key] = value
        return value
