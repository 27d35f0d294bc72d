"""The typed results that stages write and the report reads. Imports no torch; units stand in the names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bertling.tasks import Metric, TaskKind

Count = Annotated[int, Field(ge=0, le=2**53)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Layers = Annotated[int, Field(ge=0, le=1000)]
"""of a model; the report draws each"""


class Result(BaseModel):
    """What a stage or command writes: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Environment(Result):
    """Where and with what a run was made; a figure without it means little."""

    date: str
    commit: str | None
    cpu: str
    cores: Count
    threads: Count
    memory_bytes: Count
    accelerator: str | None
    python: str
    versions: dict[str, str]


class ModelResult(Result):
    """One model on the evaluation set.

    ``score`` is a fraction from -1 to 1 (the task's ``metric``). ``parameters``, ``size_bytes`` (weights on
    disk) and ``latency_ms_p50`` (batch 1, float32) are None where they mean nothing, such as for the
    majority class. ``further_metrics`` are other figures of the same answers, where the task has any, and
    ``further_sets`` the score on further sets by their names, such as MNLI's ``mismatched``.
    """

    score: float
    metric: Metric
    parameters: Count | None = None
    size_bytes: Count | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    layers: Layers | None = None
    width: Count | None = None
    further_metrics: dict[Metric, float] = {}
    further_sets: dict[str, float] = {}


class HistoryPoint(Result):
    """Training losses at one step.

    ``loss`` is the objective's, the mean of the steps since the point before; ``terms`` are unweighted means
    over the examples since then; ``tokens`` counts those seen since the stage began, special ones included.

    The keys of ``terms`` read ``embedding``, ``attention.2``, ``hidden.1``, ``prediction`` or ``labels``:
    the term, then the student layer where the term has layers.
    """

    step: Count
    epoch: float
    tokens: Count
    loss: float
    learning_rate: float
    gradient_norm: float | None
    terms: dict[str, float]


class ValidationPoint(Result):
    """The score on the validation set at the end of an epoch, where a stage stops early."""

    step: Count
    epoch: float
    score: float


class Disagreement(Result):
    """An evaluation text on which teacher and student choose different labels (or differ most)."""

    text: str
    text_pair: str | None
    label: str
    teacher: str
    student: str
    teacher_confidence: float
    student_confidence: float


class LabelScore(Result):
    """How a model does on one label.

    ``precision`` is the share of what it gives the label that has it, None where it never gives it;
    ``recall`` that of what has the label that it finds, None where nothing has it; ``f1`` their harmonic
    mean, None where both are.
    """

    precision: Fraction | None
    recall: Fraction | None
    f1: Fraction | None


class LabelFigures(Result):
    """A label, or a type of chunk, and how often it is there."""

    label: str
    support: Count
    teacher: LabelScore | None = None
    student: LabelScore
    baseline: LabelScore | None = None


class Confusion(Result):
    """How often ``answer`` is given where ``reference`` is right, the two being equal included.

    ``answer`` is None for no answer, which words have that were cut off.
    """

    reference: str
    answer: str | None
    teacher: Count | None = None
    student: Count


class ByLabel(Result):
    """Answers to the reported set by label, in the order of the class ids.

    ``unit`` is what is counted for the scores. Only pairs that occur have a confusion, in the same order; of
    chunks they count words, by the type of the chunk that these stand in, or O. Several labels for a text
    have none.
    """

    unit: Literal["example", "word", "chunk"]
    labels: list[LabelFigures]
    confusions: list[Confusion] = []


class ReplacedWord(Result):
    """A word of an augmented example: characters ``start`` to ``end`` of side 0 (text) or 1 (text_pair)."""

    side: int
    start: int
    end: int
    word: str
    """what stood there before"""


class LayerCloseness(Result):
    """How near a student's layer is to the teacher's that it is mapped to, on texts of the evaluation set.

    Layers count from 1; 0 is the embedding. ``cosine`` is the mean over tokens, -1 to 1, of the teacher's
    state with the student's after the linear map that fits best on training texts; ``constant_cosine`` that
    with one state for all tokens, the teacher's mean, so that less says nothing. ``cka`` is linear CKA, 0 to
    1; None where all states are the same.

    ``head_nats`` has for each head the Jensen-Shannon divergence of its attention from that of the teacher's
    head in its place, 0 to log 2 = 0.69 (for groups of heads, where the numbers differ); none for the
    embedding. ``uniform_nats`` is that of attention to all tokens alike, the mean over the teacher's heads.
    """

    layer: Layers
    teacher_layer: Layers
    cosine: float
    constant_cosine: float
    cka: float | None
    head_nats: list[float]
    uniform_nats: float | None


class AugmentedExample(Result):
    """A variant of a training example, with the words that were replaced in order of side and place."""

    text: str
    text_pair: str | None
    replaced: list[ReplacedWord]


class Augmentation(Result):
    """How much the training set grew by word replacement, and a sample of it.

    ``rows`` counts the originals too; ``unvaried_rows`` those of them that got no variant. ``masked_lm``
    names the model that proposed words, and ``head_accuracy`` is the share of held-out masked tokens that it
    guessed where its head was fitted here, else None.
    """

    source_rows: Count
    rows: Count
    unvaried_rows: Count
    mode: str
    masked_lm: str
    head_accuracy: float | None
    sample: list[AugmentedExample]


class TeacherCheck(Result):
    """A teacher on ``examples`` of the training set, drawn at random, against one answer for all of them.

    The scores are the task's ``metric``, a fraction from -1 to 1. ``constant_score`` is that of the answer
    that scores best, which for accuracy is the majority class. ``chance`` is the fraction of resamples of the
    examples in which the teacher is no better.
    """

    metric: Metric
    examples: int
    score: float
    constant_score: float
    chance: float

    @property
    def weak(self) -> bool:
        """Whether it is no better, in a one-sided test at the level of 5%."""
        return self.chance > 0.05


class TextLengths(Result):
    """How long the texts of a set are, in tokens, before anything is cut.

    ``truncated_fraction`` is the share of texts that lose what is beyond ``limit_tokens``; None for a corpus,
    whose long texts give several rows, so that nothing is lost. ``rows`` of ``all_rows`` were looked at; None
    where their number is not known.
    """

    name: str
    rows: int
    all_rows: int | None
    median_tokens: int
    p95_tokens: int
    longest_tokens: int
    limit_tokens: int
    truncated_fraction: float | None


class StageEstimate(Result):
    """What a stage will take; None is unknown, or for a stage that has no steps, none.

    ``disk_bytes`` stay, ``scratch_bytes`` (checkpoints) lie there only while the stage runs.
    """

    name: str
    steps: int | None
    tokens: int | None
    seconds: float | None
    disk_bytes: int
    scratch_bytes: int


class Preflight(Result):
    """What is known of a run before anything expensive; an estimate, measured for moments on this machine.

    ``outputs`` are the teacher's own label names, in its order, None where it is fine-tuned in the run, or no
    single model; ``classes`` the task's, None for a regression, and for ``answers`` to questions.
    ``teachers`` are those that give predictions alone, by what the recipe calls them. ``exact`` says whether
    all texts were looked at and none has variants, which are counted as many as there can be.
    """

    classes: list[str] | None
    outputs: list[str] | None
    answers: bool = False
    vocabulary_entries: int
    lengths: list[TextLengths]
    teacher: TeacherCheck | None
    teachers: dict[str, TeacherCheck] = {}
    predictions_only: bool = False
    stages: list[StageEstimate]
    exact: bool
    needed_bytes: int
    """most that the run has on disk at once, beside what is there already"""
    free_bytes: int
    refusals: list[str]
    """why this recipe would not run; empty if it would"""


class DataSummary(Result):
    """What was trained and evaluated on."""

    task: str
    kind: TaskKind
    source: str
    train_examples: Count
    evaluation_examples: Count
    label_names: list[str] | None
    max_length_tokens: Count
    truncated_fraction: float


class Results(Result):
    """``RUN/results.json``: the measured result of a run."""

    name: str
    task: str
    teacher: ModelResult | None
    """None for a black box that says nothing of the reported set; of several models their sizes added up, and
    the time that all of them take"""
    student: ModelResult
    baseline: ModelResult | None
    yardsticks: dict[str, ModelResult]
    score_retention: float | None
    """student's score over the teacher's; None where the teacher's is not above zero, or not known"""
    speedup: float | None
    """teacher's median latency over the student's, measured interleaved; None for a black box"""
    size_ratio: float | None
    """teacher's bytes on disk over the student's; None for a black box"""
    wall_seconds: dict[str, float]
    latency_threads: Count
    data: DataSummary
    layer_map: dict[int, int]
    """student layer -> teacher layer; empty where teachers give predictions alone"""
    teacher_layers: Layers
    """0 where teachers give predictions alone"""
    taught_by: str | None = None
    """what teaches by predictions alone, in words; None for a teacher that shows its states"""
    initialization: str
    histories: dict[str, list[HistoryPoint]]
    """stage -> its training losses"""
    validations: dict[str, list[ValidationPoint]] = {}
    """stage -> its validation scores, where it stops early; the first of the best is the epoch it keeps"""
    disagreements: list[Disagreement]
    """most confident first"""
    disagreement_count: Count
    by_label: ByLabel | None = None
    """None for numbers, answers to questions and sentence embeddings"""
    augmentation: Augmentation | None
    closeness: dict[Literal["student", "baseline"], list[LayerCloseness]] = {}
    """of the embedding and each mapped layer, in order; empty where teachers give predictions alone"""
    environment: Environment


class SetFigures(Result):
    """A model's figures on one labelled set; the first is the task's score. Fractions, from -1 to 1."""

    name: str
    examples: int
    figures: dict[Metric, float]


class Evaluation(Result):
    """A saved model on a task's labelled sets: one, or for MNLI both."""

    model: str
    task: str
    max_length_tokens: int
    sets: list[SetFigures]


def read_results(path: Path) -> Results:
    """Read ``results.json``; raises pydantic's ValidationError where it is not one."""
    return Results.model_validate_json(path.read_text(encoding="utf-8"))
