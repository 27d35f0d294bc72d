"""Draw what fidelity.py measured, and measure nothing: the picture can be made again when rows have come.

    python benchmarks/fidelity_picture.py benchmarks/results/fidelity.json docs/images/fidelity.svg

A panel for each task, methods from the best to the worst: a dot for each seed, a ring for their mean.
Whiskers are the 95% intervals of the paired bootstrap, of differences: from the method that all are
compared with, drawn around each other method's mean, so that one which ends before that method's mean tells
the two apart; and its own from its teacher, so that one which ends before the teacher's line does. Marked are
the teacher's score, 96% of it, the masked language model that is the paper's yardstick, and 1.09 times that.

The file has colours for light and dark and paper of its own, since nobody knows on what page it will stand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import mean
from typing import Any

from markupsafe import Markup

from bertling.report import numbers
from bertling.report.charts import WIDTH, Kind
from bertling.report.dots import DotRow, Mark, dot_lines
from bertling.tasks import GLUE_LAYOUTS

KEPT, ABOVE = (
    0.96,
    1.09,
)  # of the teacher's score, and times the masked language model's: the paper's headlines
PRETRAINED = "mlm"
YARDSTICKS = ("random", PRETRAINED)
TITLE = 20
SIDE = 8
SHOWN = 4 / 3  # the size on a desk; a narrower page shrinks it
ON_A_PHONE = "@media (max-width: 30rem) { svg text { font-size: 14px; } }"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("json", type=Path, help="what fidelity.py wrote")
    parser.add_argument("svg", type=Path)
    arguments = parser.parse_args()
    report = json.loads(arguments.json.read_text(encoding="utf-8"))
    arguments.svg.write_text(picture(report["rows"], report["differences"]), encoding="utf-8")


def picture(rows: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]) -> str:
    """The panels below each other, as one SVG file."""
    panels, described = [], []
    height = float(SIDE)
    for task in dict.fromkeys(row["task"] for row in rows):
        of_task = [row for row in rows if row["task"] == task]
        lines = lines_of(of_task, [entry for entry in differences if entry["task"] == task])
        marks = marks_of(of_task)
        body, tall = dot_lines(lines, marks, label=f"{of_task[0]['metric']} times 100")
        panels.append(
            Markup(
                '<g transform="translate(0 {:g})"><text class="head" x="{}" y="12">{}</text>'
                '<text class="axis-name end" x="{}" y="12">{}</text>'
                '<g transform="translate(0 {})">{}</g></g>'
            ).format(height, SIDE, name_of(task), WIDTH - SIDE, measured_on(of_task), TITLE, body)
        )
        said = ", ".join(f"{entry.name} {entry.mean:.1f}" for entry in lines)
        marked = ", ".join(f"{mark.name} {mark.value:.1f}" for mark in marks)
        described.append(f"{name_of(task)}: {said}; {marked}")
        height += TITLE + tall + 2 * SIDE
    style = files("bertling.report").joinpath("charts.css").read_text(encoding="utf-8")
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        'viewBox="0 0 {w} {h:g}" width="{shown_w:g}" height="{shown_h:g}">'
        "<title>Scores of each method, times 100</title><desc>{d}</desc>\n<style>\n{s}{phone}\n</style>\n"
        '<rect width="{w}" height="{h:g}" rx="6" style="fill: var(--paper)"/>\n{p}\n</svg>\n'
    ).format(
        w=WIDTH,
        h=height,
        shown_w=SHOWN * WIDTH,
        shown_h=SHOWN * height,
        d=". ".join(described),
        s=Markup(style),
        phone=ON_A_PHONE,
        p=Markup("\n").join(panels),
    )


def lines_of(rows: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]) -> list[DotRow]:
    """A line for each method of a task, the best first."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row["method"], []).append(100 * row["score"])
    means = {method: mean(values) for method, values in scores.items()}
    first = differences[0]["method"] if differences else next(iter(scores))
    intervals = {}
    for entry in differences:
        low, high = (100 * bound for bound in entry["difference_interval"])
        if entry["than"] == "teacher":
            intervals[first] = (teacher_of(rows) + low, teacher_of(rows) + high)
        else:
            intervals[entry["than"]] = (means[first] - high, means[first] - low)
    return [
        DotRow(method, kind_of(method, first), tuple(scores[method]), means[method], intervals.get(method))
        for method in sorted(means, key=lambda method: -means[method])
    ]


def marks_of(rows: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """What all are held against; shares only of scores above zero, where they mean something."""
    held: list[tuple[str, float, Kind, float]] = [("teacher", teacher_of(rows), "teacher", KEPT)]
    if pretrained := [100 * row["score"] for row in rows if row["method"] == PRETRAINED]:
        held.append((PRETRAINED, mean(pretrained), "yardstick", ABOVE))
    marks = []
    for name, score, kind, share in held:
        marks.append(Mark(name, score, kind))
        if score > 0:
            marks.append(Mark(f"{share:g} {numbers.TIMES} {name}", share * score, kind))
    return marks


def teacher_of(rows: Sequence[Mapping[str, Any]]) -> float:
    """The mean over the seeds, times 100; with one seed all methods have the same teacher."""
    of_seeds: dict[int, float] = {row["seed"]: 100 * row["teacher_score"] for row in rows}
    return mean(of_seeds.values())


def kind_of(method: str, first: str) -> Kind:
    if method == first:
        return "student"
    return "yardstick" if method in YARDSTICKS else "baseline"


def name_of(task: str) -> str:
    return GLUE_LAYOUTS[task].folder


def measured_on(rows: Sequence[Mapping[str, Any]]) -> str:
    examples = max(row["budget"]["evaluation_examples"] for row in rows)
    seeds = len({row["seed"] for row in rows})
    return f"{numbers.count(examples, 'example')}, {numbers.count(seeds, 'seed')}"


if __name__ == "__main__":
    main()
