"""Charts of a report as HTML with inline SVG, coloured by the page's style.

Horizontal positions in the SVG are percentages, so a chart takes the width that it gets and its text keeps its
size: a phone shows the labels as large as a desk does.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from markupsafe import Markup

from bench.kit.amounts import amount, short
from bench.kit.report import printable
from bench.suite.result import Figure

SERIES: Final = 4  # colours; further series have the last one
_HEIGHT: Final = 220
_TOP, _BOTTOM, _LEFT, _RIGHT = 12, 28, 11.0, 3.0
_LOG_X_FROM, _LOG_Y_FROM = 8.0, 100.0


class Scale(NamedTuple):
    """Scale from values to a share of the width or height, linear or by logarithm."""

    low: float
    high: float
    logarithmic: bool

    def share(self, value: float) -> float:
        if self.logarithmic:
            low, high = math.log(self.low), math.log(self.high)
            return (math.log(value) - low) / ((high - low) or 1.0)
        return (value - self.low) / ((self.high - self.low) or 1.0)


def drawn(chart_members: Sequence[Figure]) -> Markup:
    """Return the chart of figures of one unit: lines of those that have an `x`, bars of the others."""
    series = list(dict.fromkeys(figure.series for figure in chart_members))
    colours = {name: min(number, SERIES - 1) + 1 for number, name in enumerate(series)}
    points = [figure for figure in chart_members if figure.x is not None]
    bars = [figure for figure in chart_members if figure.x is None]
    parts = [_legend(colours)] if len(series) > 1 else []
    parts += [_bars(bars, colours)] if bars else []
    parts += [_lines(points, colours)] if points else []
    return Markup("").join(parts)


def _legend(colours: dict[str, int]) -> Markup:
    entries = (
        Markup('<li><i class="s{}"></i>{}</li>').format(colour, printable(name))
        for name, colour in colours.items()
    )
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(entries))


def _bars(bars: Sequence[Figure], colours: dict[str, int]) -> Markup:
    largest = max([0.0, *(value for bar in bars for value in (bar.value, *bar.runs))])
    rows = [
        Markup(
            '<li><span class="t">{}</span><svg class="bar s{}" height="18" role="img" '
            'aria-label="{}">{}</svg><span class="v">{}</span></li>'
        ).format(
            _beside(bar, before),
            colours[bar.series],
            f"{label(bar)}: {printable(amount(bar.value, bar.unit))}",
            _bar(bar, largest or 1.0),
            printable(amount(bar.value, bar.unit)),
        )
        for before, bar in pairwise((None, *bars))
        if bar is not None
    ]
    return Markup('<ol class="bars">{}</ol>').format(Markup("").join(rows))


def _beside(bar: Figure, before: Figure | None) -> Markup:
    """Return the words beside a bar: its title only where it differs from that of the bar before."""
    if not bar.series:
        return Markup("{}").format(printable(bar.title))
    title = "" if before is not None and before.title == bar.title else printable(bar.title)
    return Markup("<b>{}</b> {}").format(title, printable(bar.series))


def _bar(bar: Figure, largest: float) -> Markup:
    """Return the shapes of a bar, and a line for the value of each round."""
    width = max(0.0, 100 * bar.value / largest)
    marks = (
        Markup('<line x1="{0:.2f}%" x2="{0:.2f}%" y1="2" y2="16"/>').format(
            min(99.8, max(0.2, 100 * value / largest))
        )
        for value in bar.runs
    )
    return Markup('<rect width="{:.2f}%" y="4" height="10" rx="2"/>{}').format(
        width, Markup("").join(marks)
    )


def _lines(points: Sequence[Figure], colours: dict[str, int]) -> Markup:
    across = _scale([point.x or 0.0 for point in points], _LOG_X_FROM, from_zero=False)
    up = _scale([value for point in points for value in (point.value, *point.runs)], _LOG_Y_FROM)

    def x(value: float) -> float:
        return _LEFT + (100 - _LEFT - _RIGHT) * across.share(value)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - up.share(value))

    shapes = [_grid(up, points, x, y)]
    for name, colour in colours.items():
        line = sorted((p for p in points if p.series == name), key=lambda p: p.x or 0.0)
        shapes.append(_line(line, colour, x, y))
    names = "; ".join(
        f"{label(point)} {point.x:g}: {amount(point.value, point.unit)}" for point in points
    )
    return Markup('<svg class="lines" height="{}" role="img" aria-label="{}">{}</svg>').format(
        _HEIGHT, printable(names), Markup("").join(shapes)
    )


def _scale(values: Sequence[float], logarithmic_from: float, *, from_zero: bool = True) -> Scale:
    low, high = min(values), max(values)
    if low > 0 and high / low >= logarithmic_from:
        return Scale(low, high, logarithmic=True)
    return Scale(
        min(0.0, low) if from_zero else low, high if high > low else low + 1, logarithmic=False
    )


def _grid(
    up: Scale, points: Sequence[Figure], x: Callable[[float], float], y: Callable[[float], float]
) -> Markup:
    across = (
        Markup(
            '<line class="grid" x1="{}%" x2="{}%" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{}%" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(_LEFT, 100 - _RIGHT, y(tick), y(tick), _LEFT - 1, y(tick) + 4, short(tick))
        for tick in _ticks(up)
    )
    below = (
        Markup('<text x="{:.2f}%" y="{}" text-anchor="middle">{}</text>').format(
            x(value), _HEIGHT - 8, short(value)
        )
        for value in sorted({point.x or 0.0 for point in points})
    )
    return Markup("").join((*across, *below))


def _ticks(scale: Scale) -> list[float]:
    """Return up to six round values within a scale."""
    if scale.logarithmic:
        powers = range(math.ceil(math.log10(scale.low)), math.floor(math.log10(scale.high)) + 1)
        return [10.0**power for power in powers][:12]
    step = 10.0 ** math.floor(math.log10((scale.high - scale.low) or 1.0))
    while (scale.high - scale.low) / step < 3:
        step /= 2
    first = math.ceil(scale.low / step)
    return [number * step for number in range(first, math.floor(scale.high / step) + 1)]


def _line(
    line: Sequence[Figure],
    colour: int,
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> Markup:
    places = [(x(point.x or 0.0), y(point.value)) for point in line]
    parts = (
        Markup('<line class="s{}" x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}"/>').format(
            colour, *start, *end
        )
        for start, end in pairwise(places)
    )
    dots = (
        Markup('<circle class="s{}" cx="{:.2f}%" cy="{:.1f}" r="3.5"/>').format(colour, *place)
        for place in places
    )
    return Markup("").join((*parts, *dots))


def label(figure: Figure) -> str:
    """Return the words beside a figure."""
    return printable(f"{figure.title}, {figure.series}" if figure.series else figure.title)


def charts_of(all_measured: Iterable[Figure]) -> dict[tuple[str, str], list[Figure]]:
    """Return the figures of each chart and unit, in their order."""
    charts: dict[tuple[str, str], list[Figure]] = {}
    for figure in all_measured:
        if figure.chart:
            charts.setdefault((figure.chart, figure.unit), []).append(figure)
    return charts
