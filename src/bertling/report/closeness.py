"""How near the student's layers are to the teacher's, as the page shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from bertling.report import numbers
from bertling.report.charts import Spoken
from bertling.report.heads import head_grid
from bertling.results import LayerCloseness, Results

_NAMES = {"student": "Student", "baseline": "Baseline"}
_MOST_NATS = math.log(2)


@dataclass(frozen=True, slots=True)
class ClosenessRow:
    """A layer of the student: each figure for the student, for the baseline, and for what says nothing."""

    name: str
    figures: list[str]


@dataclass(frozen=True, slots=True)
class Heads:
    """A model's heads and how far each is from the teacher's."""

    name: str
    chart: Markup


@dataclass(frozen=True, slots=True)
class ClosenessView:
    """Everything that the section prints; ``headings`` are those of each row's figures."""

    notes: list[str]
    groups: list[tuple[str, int]]
    headings: list[str]
    labels: list[str]
    rows: list[ClosenessRow]
    heads: list[Heads]


def view_closeness(results: Results) -> ClosenessView | None:
    """Word the figures and draw the heads; None for a run that has none."""
    student = results.closeness.get("student")
    if not student:
        return None
    others = {row.layer: row for row in results.closeness.get("baseline", [])}
    beside = bool(others)
    heads = any(row.head_nats for row in student)
    groups = {
        "Cosine of states": ["student", *["baseline"] * beside, "constant"],
        "CKA of states": ["student", *["baseline"] * beside],
    }
    if heads:
        groups["Attention apart, nats"] = ["student", *["baseline"] * beside, "uniform"]
    return ClosenessView(
        notes=_notes(beside=beside, heads=heads),
        groups=[(name, len(columns)) for name, columns in groups.items()],
        headings=[column for columns in groups.values() for column in columns],
        labels=[f"{name}: {column}" for name, columns in groups.items() for column in columns],
        rows=[
            ClosenessRow(_row_name(row), _figures(row, others.get(row.layer), beside=beside, heads=heads))
            for row in student
        ],
        heads=[
            Heads(_NAMES[role], _heads(role, rows))
            for role, rows in results.closeness.items()
            if _drawable(rows)
        ],
    )


def _notes(*, beside: bool, heads: bool) -> list[str]:
    notes = [
        "On texts of the evaluation set. Cosine: of the teacher's state with the student's after the linear "
        "map that fits best on training texts, the mean over tokens; constant: with the teacher's mean state "
        "for all tokens, so that less says nothing. CKA (Kornblith et al. 2019): whether tokens lie alike "
        "among each other, 0 to 1."
    ]
    if heads:
        notes.append(
            "Attention apart: the Jensen-Shannon divergence of each head's attention from that of the "
            "teacher's head in its place, 0 to 0.69, the mean over heads; uniform: attention to all tokens "
            "alike."
        )
    if beside:
        notes.append("The baseline learned from labels alone: what it has, distillation did not bring.")
    return notes


def _row_name(row: LayerCloseness) -> str:
    return f"{_layer(row.layer)} and {_layer(row.teacher_layer)}" if row.layer else "embedding"


def _layer(layer: int) -> str:
    return f"layer {layer}" if layer else "embedding"


def _figures(row: LayerCloseness, other: LayerCloseness | None, *, beside: bool, heads: bool) -> list[str]:
    models = [row, *[other] * beside]
    figures = [
        *(None if model is None else model.cosine for model in models),
        row.constant_cosine,
        *(None if model is None else model.cka for model in models),
    ]
    if heads:
        figures += [fmean(model.head_nats) if model and model.head_nats else None for model in models]
        figures.append(row.uniform_nats)
    return [numbers.significant(value) for value in figures]


def _drawable(rows: Sequence[LayerCloseness]) -> bool:
    """Whether the heads make a grid: layers in order from 1, with as many heads each."""
    layers = [row for row in rows if row.layer]
    return (
        [row.layer for row in layers] == list(range(1, len(layers) + 1))
        and len({len(row.head_nats) for row in layers}) == 1
        and all(math.isfinite(value) for row in layers for value in row.head_nats)
        and bool(layers[0].head_nats)
    )


def _heads(role: str, rows: Sequence[LayerCloseness]) -> Markup:
    layers = [row for row in rows if row.layer]
    described = "; ".join(f"layer {row.layer}: {numbers.significant(fmean(row.head_nats))}" for row in layers)
    return head_grid(
        [[value / _MOST_NATS for value in row.head_nats] for row in layers],
        [
            [
                f"layer {row.layer}, head {head}: {numbers.significant(value)}"
                for head, value in enumerate(row.head_nats, start=1)
            ]
            for row in layers
        ],
        Spoken(f"{role}-heads-apart", f"How far the {role}'s heads are from the teacher's", described),
    )
