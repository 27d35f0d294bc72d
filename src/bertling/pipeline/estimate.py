"""What the stages of a run will take: steps, tokens, seconds and bytes on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

from transformers import PreTrainedModel

from bertling.data.pieces import id_dtype
from bertling.data.tokenization import TokenRows
from bertling.evaluation.size import parameter_count
from bertling.models.masked_lm import has_masked_lm_head
from bertling.pipeline.context import Context
from bertling.pipeline.corpus import reads_unlabelled
from bertling.pipeline.distillation import stage_masking, stage_objective
from bertling.pipeline.soft_targets import SOFT_TARGETS, reads_predictions
from bertling.pipeline.step_times import (
    Models,
    time_answers,
    time_augmentation,
    time_fine_tuning,
    time_head_fit,
    time_training,
)
from bertling.pipeline.teacher_caching import pays, room
from bertling.pipeline.teacher_check import CHECKED_EXAMPLES
from bertling.pipeline.teachers import TaskTeacher, task_teachers
from bertling.pipeline.text_sets import TextSet
from bertling.recipe.schema import AugmentSection, Recipe
from bertling.recipe.training_sections import (
    DistillationSection,
    GeneralSection,
    TaskDistillationSection,
    TrainingSection,
)
from bertling.results import StageEstimate
from bertling.training.cache_filling import teacher_cache_bytes
from bertling.training.step_time import StepTime, measured_on

Number = TypeVar("Number", int, float)

_BYTES = 4  # of a float32
_OPTIMIZER = 2  # AdamW's two moments of every parameter
_CHECKPOINTS = 3  # two are kept, and go only when a third is written
_AUGMENTED = 2  # beside each variant stand the words that were replaced
_FIT_BATCH = 32  # texts in a step that fits a masked-LM head
_READ_ROWS = 256  # on which a teacher with a tokenizer of its own is timed
_ALONE = 2  # a token takes about so many times as long where texts are answered one at a time


def planned_steps(section: TrainingSection, rows: int, tokens: int, *, processes: int = 1) -> tuple[int, int]:
    """Steps of a training stage, and the tokens that it sees in them.

    The steps are those of the run. So are the tokens in whole passes over the data; of a pass that is not
    finished they are taken to be its share, though batches differ.

    Args:
        section: of the stage.
        rows: it learns from.
        tokens: of all rows.
        processes: that train together.
    """
    batches = math.ceil(rows / (section.batch_size * processes))
    in_a_pass = math.ceil(batches / section.accumulation_steps)
    passes = section.epochs
    if isinstance(section, GeneralSection) and section.max_tokens:
        passes = section.max_tokens / tokens
    steps = section.max_steps or math.ceil(passes * in_a_pass)
    return steps, round(tokens * steps / in_a_pass)


def estimate_stages(context: Context, sets: Mapping[str, TextSet]) -> list[StageEstimate]:
    """An estimate for each stage that is not finished, in the order of the run.

    Steps of each kind are timed for moments on rows of about the median length, and taken times the tokens
    that the stage will see. Loading, checkpoints, word vectors and yardsticks are not counted.

    Args:
        context: of a run whose data is prepared.
        sets: ``train``, ``test`` and, where the recipe reads them, ``general`` and ``unlabelled``.
    """
    estimator = _Estimator(context, sets)
    stages = estimator.of_recipe()
    return [stages[name]() for name in stages if context.stages.begun(name) is not None]


def most_bytes(context: Context, stages: list[StageEstimate]) -> int:
    """The most that these stages, one after the other, have on disk at once beside what is there already."""
    kept = most = 0
    for stage in stages:
        there = context.stages.begun(stage.name) or 0
        most = max(most, kept + stage.disk_bytes + stage.scratch_bytes - there)
        kept += stage.disk_bytes
    return most


@dataclass
class _Estimator:
    context: Context
    sets: Mapping[str, TextSet]

    def __post_init__(self) -> None:
        self._recipe: Recipe = self.context.recipe
        self._models = Models(self.context)

    def of_recipe(self) -> dict[str, Callable[[], StageEstimate]]:
        """Each stage that the recipe names, in order."""
        recipe = self._recipe
        stages: dict[str, Callable[[], StageEstimate]] = {}
        if recipe.general or reads_unlabelled(self.context):
            stages["corpus"] = self._corpus
        for teacher in task_teachers(recipe):
            stages[teacher.stage] = partial(self._teacher, teacher)
        stages["initialize"] = self._initialize
        if recipe.general and recipe.general.learns:
            stages["general"] = partial(self._distillation, "general", recipe.general)
        if recipe.augment:
            name = recipe.augment.masked_lm or recipe.source
            if not recipe.augment.masked_lm and not has_masked_lm_head(name):
                stages["masked-lm"] = partial(self._masked_lm, name, recipe.augment)
            stages["augment"] = partial(self._augment, name, recipe.augment)
        if reads_predictions(recipe):
            stages[SOFT_TARGETS] = self._soft_targets
        if recipe.intermediate:
            stages["intermediate"] = partial(self._distillation, "intermediate", recipe.intermediate)
        stages["prediction"] = partial(self._distillation, "prediction", recipe.prediction)
        if recipe.baseline:
            stages["baseline"] = partial(self._training, "baseline", recipe.baseline, self.sets["train"])
        stages["evaluate"] = self._evaluate
        return stages

    @cached_property
    def _source_answers(self) -> float:
        """Seconds for each token of what the student is made from."""
        return time_answers(self.context, self._models.source, self.sets["train"].middle)

    @cached_property
    def _teacher_answers(self) -> float:
        """Seconds for each of the student's tokens, of all teachers; they may read more or fewer."""
        if not self._recipe.teacher.predictions_only:
            return self._source_answers
        return sum(
            time_answers(
                self.context, self._models.teachers[teacher.stage], self._read_by(teacher), reader=teacher
            )
            for teacher in task_teachers(self._recipe)
        )

    def _read_by(self, teacher: TaskTeacher) -> TokenRows:
        """Rows of the training set as a teacher reads them."""
        if teacher.model == self._recipe.source:
            return self.sets["train"].middle
        drawn = self.context.train.draw(_READ_ROWS, seed=self._recipe.seed)
        return self.context.tokenized(drawn, teacher=teacher)

    def _corpus(self) -> StageEstimate:
        read = [self.sets[name] for name in ("general", "unlabelled") if name in self.sets]
        workers = self._recipe.general.workers if self._recipe.general else 1
        id_bytes = id_dtype(self.context.tokenizer).itemsize
        return StageEstimate(
            name="corpus",
            steps=None,
            tokens=_sum(texts.tokens for texts in read),
            seconds=_sum(
                texts.tokens and texts.tokens * texts.tokenising_seconds / workers for texts in read
            ),
            # ids, and where each row starts
            disk_bytes=sum((texts.tokens or 0) * id_bytes + (texts.rows or 0) * 8 for texts in read),
            scratch_bytes=0,
        )

    def _teacher(self, teacher: TaskTeacher) -> StageEstimate:
        recipe, train = self._recipe, self.sets["train"]
        model, read = self._models.teachers[teacher.stage], self._read_by(teacher)
        if recipe.teacher.fine_tune:
            timed = time_fine_tuning(self.context, self._models, teacher, read)
            return self._training(teacher.stage, recipe.teacher, train, timed=timed, model=model)
        a_token = time_answers(self.context, model, read, reader=teacher)
        return StageEstimate(
            name=teacher.stage,
            steps=None,
            tokens=None,
            seconds=a_token * _tokens_of(train, CHECKED_EXAMPLES),
            disk_bytes=_size(model),
            scratch_bytes=0,
        )

    def _soft_targets(self) -> StageEstimate:
        texts = self._task_texts(self._recipe.prediction)
        tokens = texts.tokens or 0
        return StageEstimate(
            name=SOFT_TARGETS,
            steps=None,
            tokens=texts.tokens if self._recipe.teacher.models else None,
            seconds=self._teacher_answers * tokens / self.context.processes.count,
            disk_bytes=_BYTES * (texts.rows or 0) * int(self._models.student.config.num_labels or 1),
            scratch_bytes=0,
        )

    def _initialize(self) -> StageEstimate:
        student = self._recipe.student
        made = student.makes_smaller or not student.model
        pruned = student.initialization == "prune" and made
        texts = self.sets["general" if self._recipe.general else "train"]
        return StageEstimate(
            name="initialize",
            steps=None,
            tokens=None,
            seconds=self._source_answers * _tokens_of(texts, student.calibration_texts) if pruned else None,
            disk_bytes=_size(self._models.student),
            scratch_bytes=0,
        )

    def _masked_lm(self, name: str, section: AugmentSection) -> StageEstimate:
        train = self.sets["train"]
        return StageEstimate(
            name="masked-lm",
            steps=section.head_steps,
            tokens=_tokens_of(train, section.head_steps * _FIT_BATCH, again=True),
            seconds=section.head_steps * time_head_fit(self.context, name, train.middle),
            disk_bytes=_size(self._models.source),
            scratch_bytes=0,
        )

    def _augment(self, name: str, section: AugmentSection) -> StageEstimate:
        grown = self.sets["train"].times(1 + section.variants)
        source = (self.context.stages.done["data"].folder / "train.parquet").stat().st_size
        seconds = time_augmentation(self.context, name, section)
        return StageEstimate(
            name="augment",
            steps=None,
            tokens=grown.tokens,
            seconds=seconds * len(self.context.train) / section.workers,
            disk_bytes=_AUGMENTED * source * (1 + section.variants),
            scratch_bytes=section.word_vectors.stat().st_size if section.word_vectors else 0,
        )

    def _distillation(self, name: str, section: DistillationSection) -> StageEstimate:
        texts = self.sets["general"] if name == "general" else self._task_texts(section)
        estimate = self._training(name, section, texts)
        published = 2 if name in ("general", "prediction") else 1
        estimate = estimate.model_copy(update={"disk_bytes": published * estimate.disk_bytes})
        if estimate.tokens is None or estimate.seconds is None or not texts.tokens:
            return estimate
        if stage_masking(self.context, section) is not None:
            return estimate
        student, teacher = self._models.pair(section)
        if teacher is None:
            return estimate
        parts = stage_objective(self.context, section, student, teacher).teacher_parts
        passes = estimate.tokens / texts.tokens
        packed = texts.middle.packed
        if not pays(section, teacher, parts, passes=passes, packed=packed, device=measured_on()):
            return estimate
        kept = teacher_cache_bytes(teacher, texts.middle, parts, tokenizer=self.context.tokenizer)
        kept = round(kept * texts.tokens / int(texts.middle.lengths.sum()))
        if section.teacher_cache == "auto" and kept > room(self.context.folder, section):
            return estimate
        spared = (passes - 1) * texts.tokens * self._teacher_answers / self.context.processes.count
        return estimate.model_copy(
            update={
                "seconds": max(estimate.seconds - spared, 0.0),
                "disk_bytes": estimate.disk_bytes + kept,
            }
        )

    def _task_texts(self, section: DistillationSection) -> TextSet:
        augment = self._recipe.augment
        labelled = self.sets["train"].times(1 + augment.variants if augment else 1)
        unlabelled = isinstance(section, TaskDistillationSection) and section.unlabelled
        return labelled + self.sets["unlabelled"] if unlabelled else labelled

    def _training(
        self,
        name: str,
        section: TrainingSection,
        texts: TextSet,
        *,
        timed: StepTime | None = None,
        model: PreTrainedModel | None = None,
    ) -> StageEstimate:
        """Of a stage that trains the student, or ``model``, whose steps were timed."""
        steps, tokens = section.max_steps, None
        if texts.rows and texts.tokens:
            steps, tokens = planned_steps(
                section, texts.rows, texts.tokens, processes=self.context.processes.count
            )
        elif isinstance(section, GeneralSection):
            tokens = section.max_tokens
        timed = timed or time_training(self.context, self._models, section, texts.middle)
        seconds = None
        if tokens is not None:
            seconds = tokens * timed.a_token / self.context.processes.count + (steps or 0) * timed.a_step
        if model is None:
            model = self._models.general_student if name == "general" else self._models.student
        size = _size(model)
        checkpoints = (
            min(math.ceil(steps / section.checkpoint_steps), _CHECKPOINTS) if steps else _CHECKPOINTS
        )
        return StageEstimate(
            name=name,
            steps=steps,
            tokens=tokens,
            seconds=seconds,
            disk_bytes=size,
            scratch_bytes=checkpoints * (1 + _OPTIMIZER) * size,
        )

    def _evaluate(self) -> StageEstimate:
        recipe, test = self._recipe, self.sets["test"]
        students = 2 if recipe.baseline else 1
        answers = self._teacher_answers + students * time_answers(
            self.context, self._models.student, test.middle
        )
        one_by_one = _ALONE * _tokens_of(test, recipe.evaluate.latency_texts)
        return StageEstimate(
            name="evaluate",
            steps=None,
            tokens=test.tokens,
            seconds=answers * ((test.tokens or 0) + one_by_one),
            disk_bytes=0,
            scratch_bytes=0,
        )


def _size(model: PreTrainedModel) -> int:
    return _BYTES * parameter_count(model)


def _tokens_of(texts: TextSet, count: int, *, again: bool = False) -> int:
    """So many rows' tokens; all if there are fewer, unless they are read again."""
    rows = count if again else min(count, texts.rows or count)
    return round(rows * float(texts.middle.lengths.mean()))


def _sum(values: Iterable[Number | None]) -> Number | None:
    """None if one of them is, or there are none."""
    total: Number | None = None
    for value in values:
        if value is None:
            return None
        total = value if total is None else total + value
    return total
