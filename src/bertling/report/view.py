"""``Results`` as what the page shows: texts, ready to print, and the data of the charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bertling.report import numbers
from bertling.report.augmented import AugmentationView, view_augmentation
from bertling.report.by_label import ByLabelView, view_by_label
from bertling.report.charts import Kind, Level, Point
from bertling.report.curves import StageView, view_stages
from bertling.report.diagram import Tie
from bertling.report.disagreements import (
    DisagreementRow,
    asks,
    disagreement_summary,
    embeds,
    view_disagreement,
)
from bertling.report.numbers import TIMES
from bertling.report.yardsticks import yardstick_names
from bertling.results import ModelResult, Results

_METRICS = {
    "accuracy": ("accuracy", "Accuracy, %"),
    "f1": ("F1", f"F1 {TIMES} 100"),
    "matthews": ("Matthews correlation", f"Matthews {TIMES} 100"),
    "spearman": ("Spearman correlation", f"Spearman {TIMES} 100"),
    "pearson": ("Pearson correlation", f"Pearson {TIMES} 100"),
    "chunk_f1": ("chunk F1", f"Chunk F1 {TIMES} 100"),
    "micro_f1": ("micro F1", f"Micro F1 {TIMES} 100"),
    "macro_f1": ("macro F1", f"Macro F1 {TIMES} 100"),
    "answer_f1": ("F1 of answers", f"F1 of answers {TIMES} 100"),
    "exact_match": ("exact match", "Exact match, %"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A large number of the headline, what it is, and what it is made of."""

    value: str
    label: str
    detail: str


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A line of the table of models."""

    kind: Kind
    name: str
    note: str
    score: str
    parameters: str
    megabytes: str
    latency_p50: str
    latency_p95: str
    speedup: str


@dataclass(frozen=True, slots=True)
class TimeRow:
    """A stage's duration; ``share`` of the longest stage's."""

    stage: str
    duration: str
    share: float


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template prints."""

    name: str
    task: str
    lead: list[str]
    figures: list[Figure]
    metric: str
    score_heading: str
    models: list[ModelRow]
    points: list[Point]
    levels: list[Level]
    teacher_layers: int
    student_layers: int
    output: str
    ties: list[Tie]
    stages: list[StageView]
    regression: bool
    disagreements: list[DisagreementRow]
    disagreement_summary: str | None
    by_label: ByLabelView | None
    augmentation: AugmentationView | None
    data: list[tuple[str, str]]
    times: list[TimeRow]
    total_time: str
    latency_threads: int
    environment: list[tuple[str, str]]
    versions: list[tuple[str, str]]


def view_results(results: Results) -> Page:
    """Word the results; every number leaves here as a text, but for the charts'."""
    metric, heading = _METRICS.get(results.student.metric, ("score", f"Score {TIMES} 100"))
    regression = results.data.kind in ("regression", "sentence_embeddings")
    models = _models(results)
    # NaN is not drawn, nor what cannot be a score.
    scored = [row for row in models if -2 < row[2].score < 2]
    student_layers = results.student.layers or max(results.layer_map, default=0)
    output = "text embedding" if embeds(results) else "logits"
    return Page(
        name=results.name,
        task=results.task,
        lead=_lead(results, metric),
        figures=_figures(results, metric),
        metric=metric,
        score_heading=heading,
        models=[_model_row(kind, name, model, results) for kind, name, model in models],
        points=[
            Point(name, kind, model.latency_ms_p50, 100 * model.score, model.latency_ms_p95)
            for kind, name, model in scored
            if model.latency_ms_p50 and _drawable(model)
        ],
        levels=[Level(name, 100 * model.score) for _, name, model in scored if not _drawable(model)],
        teacher_layers=results.teacher_layers,
        student_layers=student_layers,
        output=output,
        ties=_ties(results, student_layers, output),
        stages=view_stages(results.histories, results.validations),
        regression=regression,
        disagreements=[view_disagreement(row, regression=regression) for row in results.disagreements],
        disagreement_summary=disagreement_summary(results, regression=regression),
        by_label=None if results.by_label is None else view_by_label(results.by_label),
        augmentation=None if results.augmentation is None else view_augmentation(results.augmentation),
        data=_data(results),
        times=_times(results.wall_seconds),
        total_time=numbers.duration(sum(results.wall_seconds.values())),
        latency_threads=results.latency_threads,
        environment=_environment(results),
        versions=sorted(results.environment.versions.items()),
    )


def _drawable(model: ModelResult) -> bool:
    """Whether it was timed, in figures that a logarithmic axis has room for."""
    latencies = (model.latency_ms_p50, model.latency_ms_p95)
    return latencies[0] is not None and all(value is None or 1e-9 < value < 1e12 for value in latencies)


def _models(results: Results) -> list[tuple[Kind, str, ModelResult]]:
    names = {key: name[0].upper() + name[1:] for key, name in yardstick_names(results.data.kind).items()}
    rows: list[tuple[Kind, str, ModelResult]] = [
        ("yardstick", names.get(key, key), model) for key, model in results.yardsticks.items()
    ]
    if results.baseline:
        rows.append(("baseline", "Baseline", results.baseline))
    rows.append(("student", "Distilled student", results.student))
    return [*rows, ("teacher", "Teacher", results.teacher)] if results.teacher else rows


def _model_row(kind: Kind, name: str, model: ModelResult, results: Results) -> ModelRow:
    speedup = None
    if kind == "student":
        speedup = results.speedup
    elif model.latency_ms_p50 and results.teacher and results.teacher.latency_ms_p50:
        speedup = results.teacher.latency_ms_p50 / model.latency_ms_p50
    return ModelRow(
        kind=kind,
        name=name,
        note=_note(kind, model, results),
        score=numbers.score(model.score),
        parameters=numbers.parameters(model.parameters),
        megabytes=numbers.megabytes(model.size_bytes),
        latency_p50=numbers.significant(model.latency_ms_p50),
        latency_p95=numbers.significant(model.latency_ms_p95),
        speedup=numbers.ratio(speedup),
    )


def _note(kind: Kind, model: ModelResult, results: Results) -> str:
    if kind == "baseline":
        return "same shape and initialisation, labels alone"
    if kind == "teacher" and results.taught_by and not _shape(model):
        return results.taught_by
    return _shape(model)


def _shape(model: ModelResult | None) -> str:
    if model is None or model.layers is None or model.width is None:
        return ""
    return f"{numbers.count(model.layers, 'layer')}, width {model.width}"


def _lead(results: Results, metric: str) -> list[str]:
    teacher, student = _shape(results.teacher), _shape(results.student)
    shapes = f"A student of {student}, distilled from a teacher of {teacher}." if teacher and student else ""
    if results.taught_by and student:
        shapes = f"A student of {student}, taught by {results.taught_by}."
    gain = ""
    points = 100 * (results.student.score - results.baseline.score) if results.baseline else math.nan
    if results.baseline and math.isfinite(points):
        verb = "adds" if points >= 0 else "costs"
        gain = (
            f"Trained on the labels alone, the same shape scores {numbers.score(results.baseline.score)}; "
            f"distillation {verb} {abs(points):.1f} points of {metric}."
        )
    return [sentence for sentence in (shapes, gain) if sentence]


def _figures(results: Results, metric: str) -> list[Figure]:
    teacher, student = results.teacher, results.student
    if teacher is None:
        known = "the reported set has no soft labels, so the teacher's score is not known"
        return [Figure(numbers.score(student.score), metric, known)]
    scores = f"{metric} {numbers.score(student.score)}, teacher {numbers.score(teacher.score)}"
    if results.score_retention is None:
        scores += "; not defined where the teacher scores zero or less"
    median = "{} ms, teacher {} ms: median at batch 1 on {}".format(
        numbers.significant(student.latency_ms_p50),
        numbers.significant(teacher.latency_ms_p50),
        numbers.count(results.latency_threads, "thread"),
    )
    kept = Figure(numbers.percent(results.score_retention), "of the score kept", scores)
    if results.speedup is None:
        return [kept]
    ours, theirs = numbers.megabytes(student.size_bytes), numbers.megabytes(teacher.size_bytes)
    return [
        kept,
        Figure(numbers.ratio(results.speedup), "as fast", median),
        Figure(
            numbers.ratio(results.size_ratio), "smaller", f"{ours} MB, teacher {theirs} MB: weights on disk"
        ),
    ]


# Loss terms that belong to a layer, as the diagram has room for them.
_OF_LAYERS = {
    "attention": "attention",
    "hidden": "hidden",
    "cosine": "cosine",
    "patient_states": "[CLS]",
    "attention_distributions": "distributions",
    "value_relations": "values",
    "self_relations_query": "queries",
    "self_relations_key": "keys",
    "self_relations_value": "values",
}


# Those that belong to what a model says of a text in the end.
_OF_OUTPUTS = {"prediction": "prediction", "soft_targets": "soft targets", "similarities": "cosines"}


def _ties(results: Results, student_layers: int, output: str) -> list[Tie]:
    used = {key for history in results.histories.values() for point in history for key in point.terms}

    def terms(suffix: str, names: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(spoken for name, spoken in names.items() if f"{name}{suffix}" in used)

    layers = [
        Tie(f"layer {layer}", f"layer {source}", terms(f".{layer}", _OF_LAYERS))
        for layer, source in sorted(results.layer_map.items())
        if 1 <= layer <= student_layers and 1 <= source <= results.teacher_layers
    ]
    ends = [
        Tie("embedding", "embedding", terms("", {"embedding": "embedding"})),
        Tie(output, output, terms("", _OF_OUTPUTS)),
    ]
    return [*ends, *layers]


def _data(results: Results) -> list[tuple[str, str]]:
    data = results.data
    asked = asks(results)
    cut = f"{numbers.percent(data.truncated_fraction)} of texts were cut"
    labels = "a number to predict" if data.label_names is None else ", ".join(data.label_names)
    if embeds(results):
        labels = "how similar the texts of a pair are, as a number"
    return [
        ("Task", data.task),
        ("Source", data.source),
        ("Trained on", numbers.count(data.train_examples, "example")),
        ("Evaluated on", numbers.count(data.evaluation_examples, "example")),
        ("Labels", "the part of a context that answers a question" if asked else labels),
        (
            "Longest text",
            f"{numbers.count(data.max_length_tokens, 'token')}; "
            f"{'longer contexts come in windows' if asked else cut}",
        ),
        ("Initialisation", results.initialization),
    ]


def _times(seconds: dict[str, float]) -> list[TimeRow]:
    longest = max(seconds.values(), default=0.0)
    return [
        TimeRow(
            stage, numbers.duration(value), value / longest if longest > 0 and math.isfinite(value) else 0.0
        )
        for stage, value in seconds.items()
    ]


def _environment(results: Results) -> list[tuple[str, str]]:
    made = results.environment
    return [
        ("Date", made.date),
        ("Commit", made.commit or "not known"),
        (
            "Processor",
            f"{made.cpu}, {numbers.count(made.cores, 'core')}, {numbers.count(made.threads, 'thread')} used",
        ),
        ("Memory", f"{numbers.gigabytes(made.memory_bytes)} GB"),
        ("Accelerator", made.accelerator or "none"),
        ("Python", made.python),
    ]
