"""The lines of `waypost top` on terminals of any width."""

import pytest

from api.command.display.top import screen_lines
from engine.operations.actor_tree import ActorNode
from engine.operations.system import ProcessState

NAMES = [f"actor-with-a-rather-long-name-{n}" for n in range(60)]
ERROR = "ConnectionError: [bold]the server closed the connection[/bold] before it answered"


def process() -> ProcessState:
    actors = [
        ActorNode(name=n, kind="actor", running=True, for_s=3.0, lag={"pending": 12.0})
        for n in NAMES
    ]
    return ProcessState(
        name="edge-0", pid=7, running=False, ready=False, reasons=(), restarts=2, last_error=ERROR,
        for_s=9.0, actors=tuple(actors),
    )  # fmt: skip


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_every_actor_and_error_is_whole(width: int) -> None:
    texts = [text.plain for text in screen_lines([process()], width)]
    assert max(map(len, texts)) <= width
    everything = "".join("".join(texts).split())
    for name in NAMES:
        assert name in everything
    assert everything.count("pending=12") == len(NAMES)
    assert "".join(ERROR.split()) in everything


def test_a_wide_terminal_has_a_line_for_each_actor() -> None:
    assert len(screen_lines([process()], 200)) == 2 + len(NAMES)
