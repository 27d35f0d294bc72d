"""The typed results that stages write and the report reads. Imports no torch; units stand in the names."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bertling.tasks import Metric


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Environment(_Result):
    """Where and with what a run was made; a figure without it means little."""

    date: str
    commit: str | None
    cpu: str
    cores: int
    threads: int
    memory_bytes: int
    accelerator: str | None
    python: str
    versions: dict[str, str]


class ModelResult(_Result):
    """One model on the evaluation set.

    ``score`` is a fraction from -1 to 1 (the task's ``metric``). ``parameters``, ``size_bytes`` (weights on
    disk) and ``latency_ms_p50`` (batch 1, float32) are None where they mean nothing, such as for the
    majority class.
    """

    score: float
    metric: Metric
    parameters: int | None = None
    size_bytes: int | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    layers: int | None = None
    width: int | None = None


class HistoryPoint(_Result):
    """Training losses at one step.

    ``loss`` is the objective's, the mean of the steps since the point before; ``terms`` are unweighted means
    over the examples since then; ``tokens`` counts those seen since the stage began, special ones included.

    The keys of ``terms`` read ``embedding``, ``attention.2``, ``hidden.1``, ``prediction`` or ``labels``:
    the term, then the student layer where the term has layers.
    """

    step: int
    epoch: float
    tokens: int
    loss: float
    learning_rate: float
    gradient_norm: float | None
    terms: dict[str, float]


class Disagreement(_Result):
    """An evaluation text on which teacher and student choose different labels (or differ most)."""

    text: str
    text_pair: str | None
    label: str
    teacher: str
    student: str
    teacher_confidence: float
    student_confidence: float


class ReplacedWord(_Result):
    """A word of an augmented example: characters ``start`` to ``end`` of side 0 (text) or 1 (text_pair)."""

    side: int
    start: int
    end: int
    word: str
    """what stood there before"""


class AugmentedExample(_Result):
    """A variant of a training example, with the words that were replaced in order of side and place."""

    text: str
    text_pair: str | None
    replaced: list[ReplacedWord]


class Augmentation(_Result):
    """How much the training set grew by word replacement, and a sample of it.

    ``rows`` counts the originals too; ``unvaried_rows`` those of them that got no variant. ``masked_lm``
    names the model that proposed words, and ``head_accuracy`` is the share of held-out masked tokens that it
    guessed where its head was fitted here, else None.
    """

    source_rows: int
    rows: int
    unvaried_rows: int
    mode: str
    masked_lm: str
    head_accuracy: float | None
    sample: list[AugmentedExample]


class DataSummary(_Result):
    """What was trained and evaluated on."""

    task: str
    source: str
    train_examples: int
    evaluation_examples: int
    label_names: list[str] | None
    max_length_tokens: int
    truncated_fraction: float


class Results(_Result):
    """``RUN/results.json``: the measured result of a run."""

    name: str
    task: str
    teacher: ModelResult
    student: ModelResult
    baseline: ModelResult | None
    yardsticks: dict[str, ModelResult]
    score_retention: float | None
    """student's score over the teacher's; None where the teacher's is not above zero"""
    speedup: float
    """teacher's median latency over the student's, measured interleaved in one process"""
    size_ratio: float
    """teacher's bytes on disk over the student's"""
    wall_seconds: dict[str, float]
    latency_threads: int
    data: DataSummary
    layer_map: dict[int, int]
    teacher_layers: int
    initialization: str
    histories: dict[str, list[HistoryPoint]]
    """stage -> its training losses"""
    disagreements: list[Disagreement]
    """most confident first"""
    disagreement_count: int
    augmentation: Augmentation | None
    environment: Environment


class AblationRow(_Result):
    """A recipe with one thing left out, or whole.

    ``scores`` holds one for each seed, ``mean`` theirs; ``change`` is the mean difference to the whole recipe
    with the same seed, and ``change_standard_error`` that mean's, None for a single seed.
    """

    name: str
    scores: list[float]
    mean: float
    change: float
    change_standard_error: float | None


class AblationResults(_Result):
    """``ablation.json``: what each part of a recipe is worth; the whole recipe is the first row."""

    name: str
    task: str
    metric: Metric
    seeds: list[int]
    evaluation_examples: int
    teacher_scores: list[float]
    """one for each seed"""
    rows: list[AblationRow]
    environment: Environment


def read_results(path: Path) -> Results:
    """Read ``results.json``; raises pydantic's ValidationError where it is not one."""
    return Results.model_validate_json(path.read_text(encoding="utf-8"))
