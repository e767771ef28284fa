"""Picture of a run, as SVG: clicks/s by number of workers, and what each part takes at most."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

from bench.kit.amounts import short
from bench.scaling.answers import Limit
from bench.scaling.scalability_law import ScalabilityLaw

WIDTH: Final = 960
HEIGHT: Final = 400
_LEFT, _TOP, _PANEL, _DEPTH = 70, 56, 380, 270
_BARS_LEFT: Final = 690
_BAR_WIDTH: Final = 250
_INK, _QUIET, _LINE, _OLD = "#1f2430", "#6b7280", "#2563eb", "#c2410c"


class Curves(NamedTuple):
    """Clicks/s by number of workers: measured, simulated, and of the upserting build."""

    measured: Mapping[int, float]
    simulated: Mapping[int, float]
    upserting: Mapping[int, float]
    law: ScalabilityLaw


def draw(curves: Curves, limits: Sequence[Limit], rate: float, traffic: str) -> str:
    """Return the SVG. `rate` is marked beside the limits, in clicks/s."""
    body = [
        _text(_LEFT, 28, f"Clicks/s counted, by workers ({traffic} traffic)", bold=True),
        *_curves(curves),
        _text(_BARS_LEFT - 190, 28, "What each part takes at most, clicks/s", bold=True),
        *_bars(limits, rate),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Clicks per second by number of workers, and limits of each part" '
        f'font-family="system-ui, sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _curves(curves: Curves) -> list[str]:
    points = [*curves.measured.items(), *curves.simulated.items(), *curves.upserting.items()]
    most = max(workers for workers, _ in points)
    low = 10 ** math.floor(math.log10(min(rate for _, rate in points)))
    high = 10 ** math.ceil(math.log10(max(rate for _, rate in points)))

    def x(workers: float) -> float:
        return _LEFT + _PANEL * math.log2(workers) / max(1.0, math.log2(most))

    def y(rate: float) -> float:
        share = (math.log10(rate) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return _TOP + _DEPTH * (1 - share)

    parts = []
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = y(10**power)
        parts.append(f'<path d="M{_LEFT} {at:.1f}h{_PANEL}" stroke="#e5e7eb"/>')
        parts.append(_text(_LEFT - 8, at + 4, short(10**power), anchor="end", colour=_QUIET))
    parts += [
        _text(x(2**power), _TOP + _DEPTH + 18, str(2**power), anchor="middle", colour=_QUIET)
        for power in range(round(math.log2(most)) + 1)
    ]
    steps = [2 ** (math.log2(most) * n / 60) for n in range(61)]
    path = " ".join(f"{x(n):.1f},{y(curves.law.at(n)):.1f}" for n in steps)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>')
    parts += [_ring(x(n), y(rate), _LINE) for n, rate in curves.simulated.items()]
    parts += [_dot(x(n), y(rate), _INK) for n, rate in curves.measured.items()]
    parts += [_dot(x(n), y(rate), _OLD) for n, rate in curves.upserting.items()]
    legend = [
        (_dot, _INK, "measured"), (_ring, _LINE, "simulated"),
        (_dot, _OLD, "a build that upserts, measured"),
    ]  # fmt: skip
    for number, (mark, colour, name) in enumerate(legend):
        at = _LEFT + (0, 90, 185)[number]
        parts += [mark(at + 4, HEIGHT - 18, colour), _text(at + 14, HEIGHT - 14, name)]
    parts.append(
        _text(_LEFT + _PANEL, _TOP + _DEPTH - 8, "line: the law", anchor="end", colour=_LINE)
    )
    return parts


def _bars(limits: Sequence[Limit], rate: float) -> list[str]:
    most = max([rate, *(limit.clicks_per_s for limit in limits)])
    low = 10 ** math.floor(math.log10(min(limit.clicks_per_s for limit in limits)))

    def width(clicks: float) -> float:
        return _BAR_WIDTH * math.log10(clicks / low) / math.log10(most / low)

    parts = []
    for number, limit in enumerate(limits):
        top = _TOP + 16 + number * 48
        enough = limit.clicks_per_s >= rate
        parts.append(_text(_BARS_LEFT - 10, top + 14, limit.part, anchor="end"))
        parts.append(
            f'<rect x="{_BARS_LEFT}" y="{top}" width="{max(2.0, width(limit.clicks_per_s)):.1f}" height="20" '
            f'fill="{_LINE if enough else _OLD}" fill-opacity="0.75"/>'
        )
        parts.append(_text(_BARS_LEFT, top + 34, f"{limit.clicks_per_s:,.0f}", colour=_QUIET))
    at = _BARS_LEFT + width(rate)
    bottom = _TOP + 16 + len(limits) * 48
    parts.append(f'<path d="M{at:.1f} {_TOP}V{bottom}" stroke="{_INK}" stroke-dasharray="4 3"/>')
    parts.append(_text(at, bottom + 16, short(rate), anchor="middle"))
    return parts


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", colour: str = _INK, bold: bool = False
) -> str:
    weight = ' font-weight="600" font-size="14"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(text)}</text>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'


def _ring(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="none" stroke="{colour}" stroke-width="1.5"/>'
