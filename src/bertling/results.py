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
    over the examples since then.

    The keys of ``terms`` read ``embedding``, ``attention.2``, ``hidden.1``, ``prediction`` or ``labels``:
    the term, then the student layer where the term has layers.
    """

    step: int
    epoch: float
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
    environment: Environment


def read_results(path: Path) -> Results:
    """Read ``results.json``; raises pydantic's ValidationError where it is not one."""
    return Results.model_validate_json(path.read_text(encoding="utf-8"))
