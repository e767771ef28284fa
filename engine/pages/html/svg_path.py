"""Paths of SVG in fewer bytes: relative, with fewer digits.

Points are rounded where they lie, so that the rounding of one segment does not move the next.
"""

import re
from collections.abc import Iterator
from typing import Final

_TOKEN: Final = re.compile(r"([a-zA-Z])|([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_ARC: Final = re.compile(
    r"\s*,?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)" * 3
    + r"\s*,?\s*([01])\s*,?\s*([01])"
    + r"\s*,?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)" * 2
)
_COUNTS: Final = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 0}

Point = tuple[float, float]


def compact_path(path: str, digits: int = 1) -> str:
    """Return a path that draws the same, with `digits` behind the point. Raises ValueError for a bad one."""
    return "".join(_Writer(digits).segments(path))


class _Writer:
    """Writes one path. `_at` is the true current point, `_pen` where the rounded path is."""

    def __init__(self, digits: int) -> None:
        self._digits = digits
        self._at: Point = (0.0, 0.0)
        self._pen: Point = (0.0, 0.0)
        self._start: tuple[Point, Point] = (self._at, self._pen)
        self._last = ""

    def segments(self, path: str) -> Iterator[str]:
        for command, values in _segments(path):
            yield self._segment(command.lower(), values, is_relative=command.islower())

    def _segment(self, command: str, values: list[float], *, is_relative: bool) -> str:
        origin = self._at if is_relative else (0.0, 0.0)
        if command == "z":
            self._at, self._pen = self._start
            self._last = "z"
            return "z"
        if command in "hv":
            axis = 0 if command == "h" else 1
            target = [*self._at]
            target[axis] = origin[axis] + values[0]
            return self._emit(command, [], (target[0], target[1]), axes=(axis,))
        fixed, rest = (values[:5], values[5:]) if command == "a" else ([], values)
        points = [(origin[0] + rest[n], origin[1] + rest[n + 1]) for n in range(0, len(rest), 2)]
        numbers = [f"{round(value, 2):g}" for value in fixed]
        for point in points[:-1]:
            numbers += [self._distance(point, axis) for axis in (0, 1)]
        return self._emit(command, numbers, points[-1], axes=(0, 1))

    def _emit(self, command: str, numbers: list[str], target: Point, axes: tuple[int, ...]) -> str:
        numbers = numbers + [self._distance(target, axis) for axis in axes]
        pen = tuple(
            round(self._pen[axis] + float(self._distance(target, axis)), 3)
            if axis in axes
            else self._pen[axis]
            for axis in (0, 1)
        )
        self._at, self._pen = target, (pen[0], pen[1])
        first = command
        # Where a path begins, and behind a z, the point is absolute in effect or relative to the start.
        if command == "m":
            self._start = (self._at, self._pen)
        text = _packed(numbers)
        repeats = self._last == command and command != "m"
        self._last = command
        if repeats:
            return text if text[0] in "-" else f" {text}"
        return first + text

    def _distance(self, point: Point, axis: int) -> str:
        value = round(point[axis] - self._pen[axis], self._digits)
        return f"{value:.{self._digits}f}".rstrip("0").rstrip(".") if value else "0"


def _segments(path: str) -> Iterator[tuple[str, list[float]]]:
    """Yield each segment with its command, those of repeated and implied letters too."""
    position, command = 0, ""
    while position < len(path):
        match = _TOKEN.search(path, position)
        if match is None:
            break
        if match[1]:
            command, position = match[1], match.end()
            if command.lower() not in _COUNTS:
                raise ValueError(f"a path has no command {command}")
            if command in "zZ":
                yield command, []
                continue
        values, position = _values(path, position, command)
        yield command, values
        # Points behind that of a move are lines.
        command = {"m": "l", "M": "L"}.get(command, command)


def _values(path: str, position: int, command: str) -> tuple[list[float], int]:
    if command in "aA":
        match = _ARC.match(path, position)
        if match is None:
            raise ValueError("an arc has seven numbers")
        return [float(text) for text in match.groups()], match.end()
    values = []
    for _ in range(_COUNTS[command.lower()]):
        match = _TOKEN.search(path, position)
        if match is None or match[2] is None:
            raise ValueError(f"too few numbers for the command {command}")
        values.append(float(match[2]))
        position = match.end()
    return values, position


def _packed(numbers: list[str]) -> str:
    """Return numbers with a separator only where one is needed."""
    text = ""
    for number in numbers:
        short = number.replace("0.", ".", 1) if number.lstrip("-").startswith("0.") else number
        needs_blank = (
            bool(text) and short[0] != "-" and not (short[0] == "." and "." in text_tail(text))
        )
        text += f" {short}" if needs_blank else short
    return text


def text_tail(text: str) -> str:
    """Return the last number of packed ones."""
    return re.split(r"[ -]", text)[-1]
