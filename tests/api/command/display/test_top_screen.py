"""Scrolling in `waypost top`, with the bytes that terminals send."""

import pytest
from rich.console import Console
from rich.text import Text

from api.command.display.top_screen import TopScreen


def screen(lines: int, height: int) -> TopScreen:
    made = TopScreen()
    made.update(Text("name"), [Text(f"actor-{n}") for n in range(lines)], height)
    return made


def shown(made: TopScreen, width: int = 80) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(made.render())
    return capture.get().splitlines()


def test_every_line_is_reached_and_the_header_stays() -> None:
    made, seen = screen(50, 12), set()
    for _ in range(5):
        header, *lines, place = shown(made)
        assert (header, len(lines)) == ("name", 10)
        assert place.startswith(f"lines {made.first + 1}-{made.first + 10} of 50")
        seen |= set(lines)
        assert not made.act(b" ")
    assert seen == {f"actor-{n}" for n in range(50)}


@pytest.mark.parametrize(
    ("key", "first"),
    [
        (b"\x1b[B", 21), (b"j", 21), (b"\x1b[A", 19), (b"k", 19), (b"\x1b[6~", 30), (b"\x1b[5~", 10),
        (b"b", 10), (b"g", 0), (b"\x1b[H", 0), (b"G", 40), (b"\x1b[F", 40), (b"?", 20), (b"\x1b", 20),
    ],
)  # fmt: skip
def test_keys_move(key: bytes, first: int) -> None:
    made = screen(50, 12)
    made.act(b" ")
    made.act(b" ")
    assert not made.act(key)
    assert made.first == first


def test_q_quits() -> None:
    assert screen(1, 24).act(b"q")


def test_fewer_lines_bring_the_view_back() -> None:
    made = screen(50, 12)
    made.act(b"G")
    made.update(Text("name"), [Text("actor-0")], 12)
    assert made.first == 0
    assert shown(made)[-1].startswith("lines 1-1 of 1")


@pytest.mark.parametrize("height", [1, 2, 3])
def test_a_tiny_terminal_shows_a_line(height: int) -> None:
    assert "actor-0" in shown(screen(5, height))
