"""Charts of attention heads as inline SVG: grids of layers and heads, dots by layer, a plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bertling.report.charts import (
    BOTTOM,
    LEFT,
    LINES_HEIGHT,
    RIGHT,
    TOP,
    WIDTH,
    Kind,
    Scale,
    Spoken,
    axes,
    linear_scale,
    svg_frame,
)

GRID_WIDTH = 210
_LAYER_ROOM = 22
_ROW = 15
_MAP_MARGIN = 14


@dataclass(frozen=True, slots=True)
class Dot:
    """A head: where it lies, whose it is, what it is called, and the number of its colour, if it has one."""

    x: float
    y: float
    kind: Kind
    label: str
    color: int | None = None


def head_grid(values: Sequence[Sequence[float]], labels: Sequence[Sequence[str]], spoken: Spoken) -> Markup:
    """A row for each layer, the first at the bottom, and a cell for each head, the darker the larger.

    Args:
        values: of each layer's heads, 0 to 1.
        labels: what each cell is called when it is pointed at.
        spoken: for screen readers.
    """
    height = _ROW * len(values)
    cell = (GRID_WIDTH - _LAYER_ROOM) / len(values[0])
    parts = []
    for layer, (row, names) in enumerate(zip(values, labels, strict=True), start=1):
        y = height - layer * _ROW
        parts.append(
            Markup('<text class="tick y" x="{}" y="{}">{}</text>').format(
                _LAYER_ROOM - 6, y + _ROW - 3, layer
            )
        )
        for head, (value, name) in enumerate(zip(row, names, strict=True)):
            parts.append(
                Markup(
                    '<rect class="cell" x="{:.2f}" y="{}" width="{:.2f}" height="{}" fill-opacity="{:.3f}">'
                    "<title>{}</title></rect>"
                ).format(_LAYER_ROOM + head * cell, y, cell - 1, _ROW - 1, min(max(value, 0.0), 1.0), name)
            )
    return Markup(
        '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-labelledby="{k}-title {k}-desc">'
        '<title id="{k}-title">{t}</title><desc id="{k}-desc">{d}</desc>{b}</svg>'
    ).format(
        w=GRID_WIDTH,
        h=height,
        k=spoken.key,
        t=spoken.title,
        d=spoken.description,
        b=Markup("").join(parts),
    )


def layer_dots(
    dots: Sequence[Dot], spoken: Spoken, *, layers: int, highest: float, level: float, level_label: str
) -> Markup:
    """Heads over their layers, whose numbers are the dots' x; y from 0; a dashed level."""
    bottom = LINES_HEIGHT - BOTTOM
    y = linear_scale(0.0, highest, bottom, TOP)
    x = Scale(0.5, layers + 0.5, LEFT, WIDTH - RIGHT, layer_ticks(layers))
    line = Markup(
        '<path class="level" d="M{} {y:.1f}H{end}"/>'
        '<text class="name yardstick end" x="{end}" y="{name:.1f}">{}</text>'
    ).format(LEFT, level_label, y=y(level), end=WIDTH - RIGHT, name=y(level) - 6)
    body = [axes(x, y, "layer", "nats"), line, *(_dot(dot, x, y) for dot in dots)]
    return svg_frame(spoken, LINES_HEIGHT, Markup("").join(body))


def layer_ticks(layers: int) -> tuple[float, ...]:
    """Layers from the first to the last, at most a dozen of them."""
    step = math.ceil((layers - 1) / 11) or 1
    return tuple(float(layer) for layer in range(layers, 0, -step))[::-1]


def head_plane(dots: Sequence[Dot], spoken: Spoken) -> Markup:
    """Heads as points of a plane that has no units: distances are the same in both directions."""
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    wide = max(max(xs) - min(xs), 1e-9)
    unit = (WIDTH - 2 * _MAP_MARGIN) / wide
    height = max(unit * (max(ys) - min(ys)), 60.0)
    x = Scale(min(xs), min(xs) + wide, _MAP_MARGIN, WIDTH - _MAP_MARGIN, ())
    middle = (max(ys) + min(ys)) / 2
    y = Scale(middle - height / unit / 2, middle + height / unit / 2, height + _MAP_MARGIN, _MAP_MARGIN, ())
    frame = Markup('<rect class="plane" x="0.5" y="0.5" width="{}" height="{:.1f}"/>').format(
        WIDTH - 1, height + 2 * _MAP_MARGIN - 1
    )
    body = Markup("").join([frame, *(_dot(dot, x, y) for dot in dots)])
    return svg_frame(spoken, round(height + 2 * _MAP_MARGIN), body)


def _dot(dot: Dot, x: Scale, y: Scale) -> Markup:
    """A square for the teacher's heads, a circle for the student's."""
    shape = '<circle cx="{x:.1f}" cy="{y:.1f}" r="4">{title}</circle>'
    if dot.kind == "teacher":
        shape = '<path d="M{x:.1f} {y:.1f}m-3.5 -3.5h7v7h-7z">{title}</path>'
    color = "" if dot.color is None else f" d{dot.color}"
    title = Markup("<title>{}</title>").format(dot.label)
    return Markup('<g class="mark head-dot {}{}">{}</g>').format(
        dot.kind, color, Markup(shape).format(x=x(dot.x), y=y(dot.y), title=title)
    )
