"""How long the steps of a recipe's stages take on this machine, and how large its models are."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from bertling.augmentation.candidates import CandidateFinder
from bertling.data.collation import PadToLongest
from bertling.data.tokenization import TokenRows
from bertling.models.masked_lm import fit_masked_lm_head
from bertling.models.masking import RowMasking
from bertling.models.student import create_student
from bertling.models.teacher import load_encoder, load_tokenizer
from bertling.objectives.objective import Objective
from bertling.pipeline.augmentation import stop_words
from bertling.pipeline.context import Context
from bertling.pipeline.distillation import stage_masking, stage_objective
from bertling.pipeline.preparation import shape
from bertling.pipeline.teachers import TaskTeacher, task_teachers
from bertling.recipe.schema import AugmentSection
from bertling.recipe.training_sections import DistillationSection, TrainingSection
from bertling.training.distillation_model import DistillationModel
from bertling.training.step_time import StepTime, measure_forward, measure_step
from bertling.training.teacher_cache import SoftTargets

_AUGMENTED_TEXTS = 4
_HEAD_STEPS = 3


class Models:
    """The recipe's models in their true sizes; what they have learned makes no difference to the time."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @cached_property
    def encoder(self) -> PreTrainedModel:
        """The teacher of the general stage."""
        return load_encoder(self._context.recipe.source)

    @cached_property
    def source(self) -> PreTrainedModel:
        """What the student of the task stages is made from: mostly their teacher."""
        return self._context.classifier(self._context.recipe.source, new_head=True)

    @cached_property
    def teachers(self) -> dict[str, PreTrainedModel]:
        """Stage -> the teacher of the task stages that it makes."""
        named = task_teachers(self._context.recipe)
        if not self._context.recipe.teacher.predictions_only:
            return {teacher.stage: self.source for teacher in named}
        return {teacher.stage: self._context.classifier(teacher.model, new_head=True) for teacher in named}

    @cached_property
    def general_student(self) -> PreTrainedModel:
        """The student of the general stage."""
        return create_student(self.encoder, shape(self._context), initialization="random")

    @cached_property
    def student(self) -> PreTrainedModel:
        """The student of the task stages."""
        given = self._context.recipe.student
        source = self._context.classifier(given.model, new_head=True) if given.model else self.source
        if given.model and not given.makes_smaller:
            return source
        return create_student(source, shape(self._context), initialization="random")

    def pair(self, section: DistillationSection) -> tuple[PreTrainedModel, PreTrainedModel | None]:
        """Student and teacher of a distillation stage; no teacher where it reads predictions from a table."""
        if section is self._context.recipe.general:
            return self.general_student, self.encoder
        return self.student, self.teachers.get("teacher")


def time_training(context: Context, models: Models, section: TrainingSection, middle: TokenRows) -> StepTime:
    """Time the steps of a stage that trains the student, on rows of about the median length.

    Args:
        context: the run.
        models: what trains is changed.
        section: of the stage.
        middle: rows of what the stage reads.
    """
    guide: PreTrainedModel | SoftTargets | None = None
    student = models.student
    masking, objective, classes = None, Objective([context.label_term(student)]), 0
    if isinstance(section, DistillationSection):
        student, teacher = models.pair(section)
        objective = stage_objective(context, section, student, teacher)
        masking = stage_masking(context, section)
        guide = teacher
        if teacher is None and objective.needs_teacher:
            classes = int(student.config.num_labels or 1)
            guide = SoftTargets(np.zeros((len(middle), classes)), middle.lengths)
    return measure_step(
        DistillationModel(student, objective, guide),
        _batches_of(context, middle, masking=masking, taught=classes),
        batch_size=section.batch_size,
        precision=section.precision,
    )


def time_fine_tuning(context: Context, models: Models, teacher: TaskTeacher, middle: TokenRows) -> StepTime:
    """The same of a stage that fine-tunes a teacher, for which ``middle`` is as that one reads it."""
    section, model = context.recipe.teacher, models.teachers[teacher.stage]
    return measure_step(
        DistillationModel(model, Objective([context.label_term(model)])),
        _batches_of(context, middle, reader=teacher),
        batch_size=section.batch_size,
        precision=section.precision,
    )


def time_answers(
    context: Context, model: PreTrainedModel, middle: TokenRows, *, reader: TaskTeacher | None = None
) -> float:
    """Seconds for each token of a model that only answers, ``middle`` being as it or ``reader`` reads it."""
    return measure_forward(
        model,
        _batches_of(context, middle, without=("labels", "example_weight"), reader=reader),
        batch_size=context.recipe.evaluate.batch_size,
    )


def time_head_fit(context: Context, name: str, middle: TokenRows) -> float:
    """Seconds for each step that fits a masked-LM head."""
    times: list[float] = []
    fit_masked_lm_head(
        name,
        middle,
        context.tokenizer,
        steps=_HEAD_STEPS,
        seed=context.recipe.seed,
        progress=lambda *_: times.append(time.perf_counter()),
    )
    return (times[-1] - times[0]) / max(len(times) - 1, 1)


def time_augmentation(context: Context, name: str, section: AugmentSection) -> float:
    """Seconds for each training text whose words a masked LM replaces; word vectors are not counted."""
    masked_lm = AutoModelForMaskedLM.from_config(load_encoder(name).config)
    finder = CandidateFinder(
        masked_lm=masked_lm.to(getattr(torch, section.precision)),
        tokenizer=load_tokenizer(name),
        vectors=None,
        candidates=section.candidates,
        mode=section.mode,
        stop_words=stop_words(section),
        max_length_tokens=context.recipe.data.max_length_tokens,
    )
    drawn = context.train.draw(_AUGMENTED_TEXTS, seed=context.recipe.seed)
    finder.find(drawn.texts[:1])
    started = time.perf_counter()
    for texts in filter(None, (drawn.texts, drawn.text_pairs)):
        finder.find(texts)
    return (time.perf_counter() - started) / len(drawn)


def _batches_of(
    context: Context,
    middle: TokenRows,
    *,
    without: Collection[str] = (),
    masking: RowMasking | None = None,
    reader: TaskTeacher | None = None,
    taught: int = 0,
) -> Callable[[int], dict[str, Any]]:
    """Batches of so many rows, taken evenly from those given, and over again where they are few.

    With so many soft targets of each text as ``taught`` says, if any.
    """
    collate = PadToLongest(context.tokenizer_of(reader) if reader else context.tokenizer)

    def batch_of(rows: int) -> dict[str, Any]:
        chosen = sorted(position * len(middle) // rows for position in range(rows))
        items = [middle[row] if masking is None else masking(middle[row], row=row, epoch=0) for row in chosen]
        batch = collate([{**item, "example_weight": 1.0} for item in items])
        chosen_values: dict[str, Any] = {
            name: values for name, values in batch.items() if name not in without
        }
        return chosen_values | ({"taught": {"logits": torch.zeros(rows, taught)}} if taught else {})

    return batch_of
