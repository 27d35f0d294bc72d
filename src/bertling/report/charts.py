"""Line and scatter charts as inline SVG: axes with nice ticks, series labelled where they stand.

A chart is drawn on a canvas 420 units wide, which is about its width in pixels on a phone and beside a second
chart on a desk, so that its text keeps its size. Colours, line widths and fonts are the style sheet's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from bertling.report.numbers import tick

WIDTH = 420
LINES_HEIGHT, SCATTER_HEIGHT = 260, 330
LEFT, RIGHT, TOP, BOTTOM = 54, 8, 28, 42
LABEL_ROOM = 82
"""right of the lines, where their names stand"""
LETTER = 8.2
"""width of a letter on a phone, about, where letters are largest: only for keeping labels apart"""

Kind = Literal["student", "teacher", "baseline", "yardstick"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a screen reader says of a chart; ``key``, unique on the page, is the prefix of the chart's ids."""

    key: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Line:
    """A series of (x, y). Thin lines are the parts of the thick line of their colour, and carry no name.

    A value that is not finite leaves a gap.
    """

    label: str
    color: int
    points: tuple[tuple[float, float], ...]
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A named mark, with a whisker to ``x_high``."""

    label: str
    kind: Kind
    x: float
    y: float
    x_high: float | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """A named height without an x: a dashed line across the chart."""

    label: str
    y: float


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps ``low`` to ``start`` and ``high`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where on the canvas the value lies."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        share = ((math.log(value) if self.log else value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def tick_text(self, value: float) -> str:
        """The label of a tick; on a linear axis all in one unit."""
        return tick(value, value if self.log else self.ticks[-1])


def nice_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten in [low, high], at most ``most`` of them."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power, 2 * power, 5 * power, 10 * power, 20 * power):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return tuple(index * step for index in range(first, last + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """1, 2 and 5 of every decade in [low, high]; over many decades the powers of ten alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    inside = tuple(value for value in ticks if low * (1 - 1e-9) <= value <= high * (1 + 1e-9))
    if len(inside) < 2:
        return nice_ticks(low, high, 4)
    return inside[:: math.ceil(len(inside) / 8)]


def linear_scale(low: float, high: float, start: float, end: float) -> Scale:
    """A scale widened to whole ticks."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = abs(low) / 10 or 1.0
        low, high = low - margin, high + margin
    ticks = nice_ticks(low, high, 5)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
    low, high = (math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)
    return Scale(low, high, start, end, nice_ticks(low, high, 7))


def log_scale(low: float, high: float, start: float, end: float, *, margin: float) -> Scale:
    """A logarithmic scale, wider than the values by the factor ``margin`` at both ends."""
    low, high = low / margin, high * margin
    return Scale(low, high, start, end, log_ticks(low, high), log=True)


def line_chart(
    lines: Sequence[Line],
    spoken: Spoken,
    *,
    x_label: str,
    y_label: str,
    x_ticks: tuple[float, ...] = (),
    from_zero: bool = False,
) -> Markup:
    """Lines over x from 0, or from the first of its ticks to the last.

    y is logarithmic where the values span more than a decade, unless it begins at 0.
    """
    finite = [point for line in lines for point in line.points if all(map(math.isfinite, point))]
    right, bottom = WIDTH - LABEL_ROOM, LINES_HEIGHT - BOTTOM
    xs, ys = [x for x, _ in finite] or [0.0], [y for _, y in finite] or [0.0]
    low, high = min(ys), max(ys)
    if from_zero:
        y = linear_scale(0.0, high, bottom, TOP)
    elif low > 0 and high > 10 * low:
        y = log_scale(low, high, bottom, TOP, margin=1.15)
    else:
        y = linear_scale(0.0 if 0 < low < high / 2 else low, high, bottom, TOP)
    last = max(xs) or 1.0
    x = Scale(0.0, last, LEFT, right, nice_ticks(0.0, last, 5))
    if len(x_ticks) > 1:
        x = Scale(x_ticks[0], x_ticks[-1], LEFT, right, x_ticks)
    ordered = sorted(lines, key=lambda line: not line.thin)
    named = [(line, y(value)) for line in ordered if not line.thin for value in _last_finite(line)]
    heights = _spread([height for _, height in named], gap=16, low=TOP + 4, high=bottom)
    names = [
        Markup('<text class="name c{}" x="{}" y="{:.1f}">{}</text>').format(
            line.color, right + 7, height + 4, line.label
        )
        for (line, _), height in zip(named, heights, strict=True)
    ]
    drawn = [_path(line, x, y) for line in ordered]
    body = Markup("").join([axes(x, y, x_label, y_label), *drawn, *names])
    return svg_frame(spoken, LINES_HEIGHT, body)


def scatter_chart(
    points: Sequence[Point], levels: Sequence[Level], spoken: Spoken, *, x_label: str, y_label: str
) -> Markup:
    """Points with positive x on a logarithmic axis, at least one; levels lie across. All y are finite."""
    right, bottom = WIDTH - RIGHT, SCATTER_HEIGHT - BOTTOM
    highs = [max(point.x, point.x_high or point.x) for point in points]
    x = log_scale(min(point.x for point in points), max(highs), LEFT, right, margin=1.6)
    ys = [point.y for point in points] + [level.y for level in levels]
    margin = (max(ys) - min(ys)) * 0.06
    y = linear_scale(min(ys) - margin, max(ys) + margin, bottom, TOP)
    marks = [(x(point.x), y(point.y)) for point in points]
    taken = [(px - 8, py - 8, px + 8, py + 8) for px, py in marks]
    taken += [(px, py - 3, x(high), py + 3) for (px, py), high in zip(marks, highs, strict=True)]
    parts = [axes(x, y, x_label, y_label)]
    for level in levels:
        parts.append(Markup('<path class="level" d="M{} {:.1f}H{}"/>').format(LEFT, y(level.y), right))
    for point, (px, py) in zip(points, marks, strict=True):
        whisker = Markup("")
        if point.x_high is not None:
            whisker = Markup('<path class="whisker" d="M{:.1f} {:.1f}H{:.1f}m0 -4v8"/>').format(
                px, py, x(point.x_high)
            )
        mark = _mark(point.kind, px, py)
        parts.append(Markup('<g class="mark {}">{}{}</g>').format(point.kind, whisker, mark))
    frame = (LEFT, TOP - 6, right, bottom)
    for point, (px, py), high in zip(points, marks, highs, strict=True):
        spots = [(x(high) + 10, py + 4), (px - 11, py + 4), (px, py - 13), (px, py + 21)]
        spots += [(px, py - 29), (px, py + 37)]
        parts.append(_label(point.label, point.kind, zip(spots, _ANCHORS, strict=True), taken, frame))
    for level in levels:
        spots = [(at, y(level.y) + shift) for shift in (-5, 15) for at in (LEFT + 6, right - 6)]
        anchors = ("start", "end", "start", "end")
        parts.append(_label(level.label, "yardstick", zip(spots, anchors, strict=True), taken, frame))
    return svg_frame(spoken, SCATTER_HEIGHT, Markup("").join(parts))


_ANCHORS = ("start", "end", "middle", "middle", "middle", "middle")

_Box = tuple[float, float, float, float]


def svg_frame(spoken: Spoken, height: float, body: Markup) -> Markup:
    """An ``<svg>`` of the common width with its title and description for screen readers."""
    return Markup(
        '<svg viewBox="0 0 {w} {h:g}" width="{w}" height="{h:g}" role="img"'
        ' aria-labelledby="{k}-title {k}-desc">'
        '<title id="{k}-title">{t}</title><desc id="{k}-desc">{d}</desc>{b}</svg>'
    ).format(w=WIDTH, h=height, k=spoken.key, t=spoken.title, d=spoken.description, b=body)


def axes(x: Scale, y: Scale, x_label: str, y_label: str) -> Markup:
    """The ticks and names of both axes."""
    right, bottom = x.end, y.start
    parts = []
    for value in y.ticks:
        parts.append(
            Markup(
                '<path class="rule" d="M{} {:.1f}H{}"/><text class="tick y" x="{}" y="{:.1f}">{}</text>'
            ).format(LEFT, y(value), right, LEFT - 7, y(value) + 4, y.tick_text(value))
        )
    for value in x.ticks:
        parts.append(
            Markup(
                '<path class="axis" d="M{:.1f} {}v5"/><text class="tick x" x="{:.1f}" y="{}">{}</text>'
            ).format(x(value), bottom, x(value), bottom + 18, x.tick_text(value))
        )
    parts.append(
        Markup(
            '<path class="axis" d="M{} {}H{}"/><text class="axis-name" x="2" y="12">{}</text>'
            '<text class="axis-name end" x="{}" y="{}">{}</text>'
        ).format(LEFT, bottom, right, y_label, right, bottom + BOTTOM - 5, x_label)
    )
    return Markup("").join(parts)


def _path(line: Line, x: Scale, y: Scale) -> Markup:
    runs: list[list[str]] = [[]]
    for px, py in line.points:
        if math.isfinite(px) and math.isfinite(py):
            runs[-1].append(f"{x(px):.1f},{y(py):.1f}")
        elif runs[-1]:
            runs.append([])
    # A value without neighbours is drawn as a dash, since a line through one point shows nothing.
    data = "".join(f"M{' '.join(run)}" + ("m-2,0h4" if len(run) == 1 else "") for run in runs if run)
    return Markup('<path class="line c{}{}" d="{}"><title>{}</title></path>').format(
        line.color, " thin" if line.thin else "", data, line.label
    )


def _last_finite(line: Line) -> list[float]:
    return [y for _, y in line.points if math.isfinite(y)][-1:]


def _spread(heights: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """The heights moved apart until neighbours have ``gap`` between them; within [low, high] if they fit."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed = list(heights)
    for before, index in zip([None, *order], order, strict=False):
        least = low if before is None else placed[before] + gap
        placed[index] = max(placed[index], least)
    for after, index in zip([None, *reversed(order)], reversed(order), strict=False):
        placed[index] = min(placed[index], high if after is None else placed[after] - gap)
    return placed


def _mark(kind: Kind, x: float, y: float) -> Markup:
    shape = {
        "student": '<circle cx="{x:.1f}" cy="{y:.1f}" r="6.5"/>',
        "baseline": '<circle class="hollow" cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>',
        "teacher": '<path d="M{x:.1f} {y:.1f}m-5.5 -5.5h11v11h-11z"/>',
        "yardstick": '<path d="M{x:.1f} {y:.1f}m0 -6.5l6.5 6.5l-6.5 6.5l-6.5 -6.5z"/>',
    }[kind]
    return Markup(shape).format(x=x, y=y)


def _label(
    text: str, kind: Kind, spots: Iterable[tuple[tuple[float, float], str]], taken: list[_Box], frame: _Box
) -> Markup:
    """The text at the spot that covers least of what is there; takes the spot."""
    width = len(text) * LETTER
    choices = []
    for rank, ((x, y), anchor) in enumerate(spots):
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        box = (left, y - 11, left + width, y + 4)
        outside = max(0.0, frame[0] - box[0], box[2] - frame[2], frame[1] - box[1], box[3] - frame[3])
        covered = sum(_overlap(box, other) for other in taken)
        choices.append((1000 * outside + covered, rank, box, x, y, anchor))
    _, _, box, x, y, anchor = min(choices)
    taken.append(box)
    return Markup('<text class="name {}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, text
    )


def _overlap(a: _Box, b: _Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
