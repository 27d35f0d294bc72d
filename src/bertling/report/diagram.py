"""The layer map as inline SVG: the teacher's layers and the student's as boxes, and what ties them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bertling.report.charts import LETTER, WIDTH, Spoken, svg_frame

ROW = 25
BOX_WIDTH, BOX_HEIGHT = 86, 20
"""of a box; it is as much wider as a long name asks for"""
NAME_ROOM = 144
"""the level end of a tie, before the student's box, where its losses are named"""
TOP = 26


@dataclass(frozen=True, slots=True)
class Tie:
    """A student's part and the teacher's part that it learns from, by the losses named."""

    student: str
    teacher: str
    terms: tuple[str, ...]


def layer_diagram(
    ties: Sequence[Tie], spoken: Spoken, *, teacher_layers: int, student_layers: int, output: str = "logits"
) -> Markup:
    """Embedding at the bottom, the output on top, a tie without losses dashed.

    A uniform map gives level ties: both stacks are spread over the same height. The ends of a tie are
    ``embedding``, ``layer 1`` and so on, or what ``output`` names.
    """
    rows = max(teacher_layers, student_layers, 1)
    bottom = TOP + BOX_HEIGHT / 2 + (rows + 1) * ROW

    def heights(layers: int) -> dict[str, float]:
        inner = {f"layer {layer}": bottom - layer * rows / layers * ROW for layer in range(1, layers + 1)}
        return {"embedding": bottom, **inner, output: bottom - (rows + 1) * ROW}

    teacher_at, student_at = heights(teacher_layers), heights(student_layers)
    used = {tie.teacher for tie in ties if tie.terms}
    width = max(BOX_WIDTH, math.ceil(len(output) * LETTER) + 18)  # on a phone letters are larger
    left, right = width + 1, WIDTH - width - 1
    bend = right - NAME_ROOM
    lines, names = [], []
    for tie in ties:
        start, end = teacher_at[tie.teacher], student_at[tie.student]
        lines.append(
            Markup('<path class="tie{}" d="M{} {:.1f}C{m} {:.1f} {m} {:.1f} {} {:.1f}H{}"/>').format(
                "" if tie.terms else " idle", left, start, start, end, bend, end, right, m=(left + bend) / 2
            )
        )
        names.append(
            Markup('<text class="tie-name" x="{}" y="{:.1f}">{}</text>').format(
                (bend + right) / 2, end + 4, " + ".join(tie.terms)
            )
        )
    boxes = [
        _box(name, 1, at, width, "teacher" if name in used else "teacher unused")
        for name, at in teacher_at.items()
    ]
    boxes += [_box(name, right, at, width, "student") for name, at in student_at.items()]
    heads = Markup(
        '<text class="head" x="1" y="13">Teacher</text><text class="head end" x="{}" y="13">Student</text>'
    ).format(WIDTH - 1)
    body = Markup("").join([heads, *lines, *names, *boxes])
    return svg_frame(spoken, bottom + BOX_HEIGHT / 2 + 2, body)


def _box(name: str, x: float, middle: float, width: float, role: str) -> Markup:
    return Markup(
        '<g class="box {}"><rect x="{}" y="{:.1f}" width="{}" height="{}" rx="3"/>'
        '<text x="{}" y="{:.1f}">{}</text></g>'
    ).format(
        role,
        x,
        middle - BOX_HEIGHT / 2,
        width,
        BOX_HEIGHT,
        x + width / 2,
        middle + 4,
        name,
    )
