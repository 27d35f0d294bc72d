"""Training histories as the lines of a chart for each stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bertling.report import numbers
from bertling.report.charts import Line
from bertling.results import HistoryPoint, ValidationPoint

MOST_POINTS = 120
"""points in a line: a chart has no more pixels to tell them apart"""

_STAGES = {
    "teacher": "the teacher is fine-tuned",
    "general": "transformer distillation on unlabelled text",
    "intermediate": "task distillation, step 1",
    "prediction": "task distillation, step 2",
    "baseline": "labels alone, for comparison",
}
_TERMS = ("embedding", "attention", "hidden", "prediction", "labels")
"""in the order of their colours; other terms take the one after these, then those that are free"""


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage's chart, its caption, and a table of (loss, first value, last value)."""

    key: str
    name: str
    note: str
    caption: str
    lines: list[Line]
    losses: list[tuple[str, str, str]]


def view_stages(
    histories: Mapping[str, Sequence[HistoryPoint]], validations: Mapping[str, Sequence[ValidationPoint]]
) -> list[StageView]:
    """One view for each stage that has logged anything, in the order of the run."""
    return [
        _view_stage(f"stage-{index}", stage, history, validations.get(stage, ()))
        for index, (stage, history) in enumerate(histories.items(), start=1)
        if history
    ]


def _view_stage(
    key: str, stage: str, history: Sequence[HistoryPoint], validation: Sequence[ValidationPoint]
) -> StageView:
    steps = [point.step for point in history]
    terms = list(dict.fromkeys(name for point in history for name in point.terms))
    series = {name: [point.terms.get(name, math.nan) for point in history] for name in terms}
    first, last = history[0], history[-1]
    size = math.ceil(len(history) / MOST_POINTS)
    caption = [f"{numbers.count(last.step, 'step')}, {numbers.count(last.epoch, 'epoch')}."]
    lines = _lines(steps, series, size)
    if validation:
        best = max(validation, key=lambda point: point.score)
        scores = ", ".join(numbers.score(point.score) for point in validation)
        caption.append(f"On the validation set after each epoch: {scores}; epoch {best.epoch:g} is kept.")
    if any(line.thin for line in lines):
        caption.append("Thick: the sum over layers; thin: each layer.")
    if size > 1:
        caption.append(f"Each point is the mean of {size} logged ones.")
    losses = [("weighted sum", first.loss, last.loss)]
    losses += [(_spoken(name), values[0], values[-1]) for name, values in series.items()]
    return StageView(
        key=key,
        name=stage,
        note=_STAGES.get(stage.rstrip("-0123456789"), ""),  # of several teachers each has a stage
        caption=" ".join(caption),
        lines=lines,
        losses=[
            (name, numbers.significant(before), numbers.significant(after)) for name, before, after in losses
        ],
    )


def _lines(steps: Sequence[int], series: Mapping[str, Sequence[float]], size: int) -> list[Line]:
    groups: dict[str, list[str]] = {name: [] for name in _TERMS}
    for name in series:
        groups.setdefault(name.partition(".")[0], []).append(name)
    free = [len(_TERMS), *(index for index, term in enumerate(_TERMS) if not groups[term])]
    lines = []
    for index, (term, names) in enumerate(groups.items()):
        color = index if index < len(_TERMS) else free[(index - len(_TERMS)) % len(free)]
        if len(names) > 1:
            total = [math.fsum(values) for values in zip(*(series[name] for name in names), strict=True)]
            lines.append(Line(term, color, _thinned(steps, total, size)))
        for name in names:
            label = term if len(names) == 1 else _spoken(name)
            lines.append(Line(label, color, _thinned(steps, series[name], size), thin=len(names) > 1))
    return lines


def _thinned(steps: Sequence[int], values: Sequence[float], size: int) -> tuple[tuple[float, float], ...]:
    """The mean of every ``size`` values, at the last of their steps."""
    starts = range(0, len(steps), size)
    groups = ((steps[start : start + size], values[start : start + size]) for start in starts)
    return tuple((float(group[-1]), math.fsum(some) / len(some)) for group, some in groups)


def _spoken(name: str) -> str:
    term, _, layer = name.partition(".")
    return f"{term}, layer {layer}" if layer else term
