"""What the heads of teacher and student look at, as the page shows it: texts, charts and the viewer."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from markupsafe import Markup

from bertling.report import numbers
from bertling.report.charts import Line, Spoken, line_chart
from bertling.report.heads import Dot, head_grid, head_plane, layer_dots, layer_ticks
from bertling.results_of_attention import (
    AnalysedRole,
    AttentionFigures,
    AttentionResults,
    HeadFigures,
    ModelAttention,
)

SCRIPT = Path(__file__).with_name("attention.js").read_text(encoding="utf-8")
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
SCRIPT_POLICY = Markup("; script-src 'sha256-{}'").format(_SCRIPT_HASH)
"""what the page's policy allows beside styles: this script and no other"""

_MOSTLY = 0.5
_TOWARDS = ("to_sep", "to_cls", "to_punctuation", "to_previous", "to_next", "to_itself")
_ROLES: dict[AnalysedRole, str] = {"teacher": "Teacher", "student": "Student"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of one model."""

    name: str
    chart: Markup


@dataclass(frozen=True, slots=True)
class Group:
    """A figure of heads: a chart for each model, and what it says."""

    name: str
    panels: list[Panel]
    caption: str


@dataclass(frozen=True, slots=True)
class AttentionView:
    """Everything that the section prints.

    ``legend`` are the numbers of the plane's colours and their names. ``data`` is JSON for the script; None
    where no text is short enough to be shown.
    """

    lead: list[str]
    grids: list[Group]
    entropy: Group
    no_op: Group | None
    plane: Group
    legend: list[tuple[int, str]]
    names: dict[AnalysedRole, str]
    data: Markup | None
    script: Markup


def view_attention(
    results: AttentionResults, layer_map: Mapping[int, int], visible: Callable[[str], str]
) -> AttentionView:
    """Word the analysis and draw it.

    Args:
        results: of the analysis.
        layer_map: student layer -> the teacher layer that it learned from.
        visible: makes what cannot be seen in texts from data visible.
    """
    names = {role: _ROLES[role] for role in _ROLES if role in results.models}
    towards = _towards(results)
    mostly = {_mostly(head, towards) for _, model in _models(results) for head in model.figures}
    return AttentionView(
        lead=_lead(results, layer_map),
        grids=[_grids(results, figure, name) for figure, name in _figure_names(towards).items()],
        entropy=_entropy(results),
        no_op=_no_op(results),
        plane=_plane(results, towards),
        legend=[
            *((_TOWARDS.index(figure), name) for figure, name in towards.items() if figure in mostly),
            (len(_TOWARDS), "none of these"),
        ],
        names=names,
        data=_viewer_data(results, towards, visible) if results.examples else None,
        script=Markup(SCRIPT),
    )


def _towards(results: AttentionResults) -> dict[str, str]:
    """Figure -> what the attention goes to; without special tokens that the tokenizer does not have."""
    spoken = (
        results.sep_token,
        results.cls_token,
        "punctuation",
        "the previous token",
        "the next token",
        "the same token",
    )
    return {figure: name for figure, name in zip(_TOWARDS, spoken, strict=True) if name is not None}


def _figure_names(towards: Mapping[str, str]) -> dict[str, str]:
    shares = {figure: f"Attention to {name}" for figure, name in towards.items()}
    return {**shares, "entropy_nats": "Entropy, nats", "distance_tokens": "Distance, tokens"}


def _values(model: ModelAttention, figure: str) -> list[float]:
    return [getattr(head, figure) for head in model.figures]


def _said(figure: str, value: float) -> str:
    return numbers.percent(value) if figure in _TOWARDS else numbers.significant(value)


def _called(head: HeadFigures) -> str:
    return f"layer {head.layer}, head {head.head}"


def _models(results: AttentionResults) -> list[tuple[AnalysedRole, ModelAttention]]:
    return [(role, results.models[role]) for role in _ROLES if role in results.models]


def _lead(results: AttentionResults, layer_map: Mapping[int, int]) -> list[str]:
    lead = [
        f"Means over {results.tokens:,} tokens of {numbers.count(results.texts, 'evaluated text')}, "
        "after Clark et al. 2019, What Does BERT Look At?"
    ]
    tokens = [token for token in (results.cls_token, results.sep_token) if token is not None]
    if tokens:
        counts = []
        for role, model in _models(results):
            many = sum((head.to_sep or 0) + (head.to_cls or 0) > _MOSTLY for head in model.figures)
            counts.append(f"{many} of the {role}'s {len(model.figures)}")
        lead.append(
            f"{' and '.join(counts)} heads give more than half of their attention to {' and '.join(tokens)}."
        )
    return [*lead, *_learned(results, layer_map)]


def _learned(results: AttentionResults, layer_map: Mapping[int, int]) -> list[str]:
    """How many of the student's heads are most like those that they learned from, where each has one."""
    teacher, student = results.models.get("teacher"), results.models.get("student")
    if not (teacher and student and layer_map and teacher.heads == student.heads):
        return []
    own = sum(head.nearest == (layer_map.get(head.layer), head.head) for head in student.figures)
    return [
        f"Of the student's {len(student.figures)} heads, {own} are more like the teacher's head that they "
        "were compared with than like any other of its heads."
    ]


def _grids(results: AttentionResults, figure: str, name: str) -> Group:
    most = max(value for _, model in _models(results) for value in _values(model, figure)) or 1.0
    panels = []
    for role, model in _models(results):
        values, labels = _by_layer(model, figure)
        described = f"mean {_said(figure, fmean(_values(model, figure)))}"
        chart = head_grid(
            [[value / most for value in row] for row in values],
            labels,
            Spoken(f"{role}-{figure.replace('_', '-')}", f"{name}, {role}", described),
        )
        panels.append(Panel(_ROLES[role], chart))
    means = " and ".join(_said(figure, fmean(_values(model, figure))) for _, model in _models(results))
    uniform = _said(figure, getattr(results.uniform, figure))
    return Group(name, panels, f"Mean {means}; uniform {uniform}; most {_said(figure, most)}.")


def _by_layer(model: ModelAttention, figure: str) -> tuple[list[list[float]], list[list[str]]]:
    rows: list[list[float]] = [[] for _ in range(model.layers)]
    labels: list[list[str]] = [[] for _ in range(model.layers)]
    for head in model.figures:
        value = getattr(head, figure)
        rows[head.layer - 1].append(value)
        labels[head.layer - 1].append(f"{_called(head)}: {_said(figure, value)}")
    return rows, labels


def _entropy(results: AttentionResults) -> Group:
    level = results.uniform.entropy_nats
    highest = max(
        level, *(value for _, model in _models(results) for value in _values(model, "entropy_nats"))
    )
    panels = []
    for role, model in _models(results):
        dots = [
            Dot(
                head.layer,
                head.entropy_nats,
                role,
                f"{_called(head)}: {numbers.significant(head.entropy_nats)}",
            )
            for head in model.figures
        ]
        described = "; ".join(
            f"layer {layer}: {numbers.significant(fmean(values))}"
            for layer, values in enumerate(_by_layer(model, "entropy_nats")[0], start=1)
        )
        spoken = Spoken(f"{role}-entropies", f"Entropy of the {role}'s heads by layer", described)
        chart = layer_dots(
            dots, spoken, layers=model.layers, highest=highest, level=level, level_label="uniform"
        )
        panels.append(Panel(_ROLES[role], chart))
    return Group(
        "Entropy by layer",
        panels,
        "One mark for each head: at 0 it attends to a single token; dashed, to all alike.",
    )


def _no_op(results: AttentionResults) -> Group | None:
    """Attention to special tokens, and how much the loss changes with it: the paper's figures 2 and 3."""
    kinds = {
        name: (color, token)
        for name, color, token in (("sep", 1, results.sep_token), ("cls", 4, results.cls_token))
        if token is not None
    }
    if not kinds or any(
        head.other_gradient is None for _, model in _models(results) for head in model.figures
    ):
        return None
    kinds |= {"punctuation": (0, "marks")}
    panels = []
    for what, y_label in (
        ("attention", "% of the attention"),
        ("gradient", f"mean |∂loss/∂attention| {numbers.TIMES} 1000"),
    ):
        shown = {**kinds, "other": (5, "others")} if what == "gradient" else kinds
        for role, model in _models(results):
            series = {
                token: Line(token, color, tuple(enumerate(_layer_means(model, kind, what), start=1)))
                for kind, (color, token) in shown.items()
            }
            described = "; ".join(
                f"{token}: {', '.join(numbers.significant(value) for _, value in line.points)}"
                for token, line in series.items()
            )
            spoken = Spoken(f"{role}-{what}-by-layer", f"The {role}'s {what} by layer", described)
            chart = line_chart(
                list(series.values()),
                spoken,
                x_label="layer",
                y_label=y_label,
                x_ticks=layer_ticks(model.layers),
                from_zero=what == "attention",
            )
            panels.append(Panel(f"{_ROLES[role]}, {what}", chart))
    return Group(
        "Is attention to special tokens a no-op?",
        panels,
        "Above, means of a layer's heads; below, how much the loss changes with the attention to such a "
        f"token, so that a no-op is low there. Marks: punctuation. {_times_less(results, kinds)}",
    )


def _layer_means(model: ModelAttention, kind: str, what: str) -> list[float]:
    """Each layer's mean attention to a kind of token, in %, or gradient by it times 1000; NaN for none."""
    name = f"to_{kind}" if what == "attention" else f"{kind}_gradient"
    rows: list[list[float]] = [[] for _ in range(model.layers)]
    for head in model.figures:
        value = getattr(head, name)
        rows[head.layer - 1].append(math.nan if value is None else value)
    return [fmean(row) * (100 if what == "attention" else 1000) for row in rows]


def _times_less(results: AttentionResults, kinds: Mapping[str, tuple[int, str]]) -> str:
    """How the gradient by special tokens compares with that by other ones, on average."""
    said = []
    for role, model in _models(results):
        others = fmean(_layer_means(model, "other", "gradient")) or math.nan  # a loss of nothing has no slope
        ratios = [
            f"{numbers.significant(fmean(_layer_means(model, kind, 'gradient')) / others)} by {token}"
            for kind, (_, token) in kinds.items()
            if kind != "punctuation"
        ]
        said.append(f"{' and '.join(ratios)} in the {role}")
    return f"Relative to other tokens: {', '.join(said)}."


def _plane(results: AttentionResults, towards: Mapping[str, str]) -> Group:
    dots = []
    for role, model in _models(results):
        for head in model.figures:
            figure = _mostly(head, towards)
            color = _TOWARDS.index(figure) if figure else len(_TOWARDS)
            label = f"{role}, {_called(head)}"
            if figure:
                label += f": {towards[figure]} {_said(figure, getattr(head, figure))}"
            dots.append(Dot(*head.place, role, label, color))
    spoken = Spoken("head-plane", "Heads by how alike they are", "squares: teacher; circles: student")
    marks = "Squares: the teacher's; circles: the student's. " if "teacher" in results.models else ""
    return Group(
        "Heads that behave alike",
        [Panel("", head_plane(dots, spoken))],
        f"{marks}The nearer two heads are, the smaller the Jensen-Shannon divergence of their attention; the "
        f"plane shows {numbers.percent(results.map_explained)} of the variance. Colour: what a head gives "
        "more than half of its attention to.",
    )


def _mostly(head: AttentionFigures, towards: Mapping[str, str]) -> str | None:
    """The figure that is above a half, the largest of several."""
    largest = max(towards, key=lambda figure: getattr(head, figure))
    return largest if getattr(head, largest) > _MOSTLY else None


def _viewer_data(
    results: AttentionResults, towards: Mapping[str, str], visible: Callable[[str], str]
) -> Markup:
    data = {
        "models": {
            role: {
                "layers": model.layers,
                "heads": model.heads,
                "notes": [_note(head, towards) for head in model.figures],
            }
            for role, model in _models(results)
        },
        "texts": [
            {"tokens": [visible(token) for token in text.tokens], "weights": text.weights}
            for text in results.examples
        ],
    }
    # In a script element nothing is escaped but by the JSON itself, and "</script>" would end it.
    return Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))


def _note(head: AttentionFigures, towards: Mapping[str, str]) -> str:
    figure = max(towards, key=lambda name: getattr(head, name))
    return (
        f"Over all texts: {_said(figure, getattr(head, figure))} to {towards[figure]}, entropy "
        f"{numbers.significant(head.entropy_nats)} nats"
    )
