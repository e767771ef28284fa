"""A route: one method of one path and who answers it."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from quart import Response


class Route(NamedTuple):
    """`rule` as Werkzeug reads it. The handler takes the rule's variables, as strings, by name."""

    method: str
    rule: str
    handler: Callable[..., Awaitable[Response]]
