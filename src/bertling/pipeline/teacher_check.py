"""Whether a teacher has anything to teach: its score on some of the training set, before a student learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
from transformers import PreTrainedModel

from bertling.data.examples import Examples
from bertling.errors import ModelError
from bertling.evaluation.constant import compare_with_constant
from bertling.evaluation.scores import predictions
from bertling.files import write_whole
from bertling.pipeline.context import Context
from bertling.pipeline.judging import answer
from bertling.pipeline.soft_targets import logits_of_data
from bertling.pipeline.teachers import TaskTeacher
from bertling.results import TeacherCheck

CHECKED_EXAMPLES = 500
_FILE = "check.json"


def check_teacher(context: Context, model: PreTrainedModel, teacher: TaskTeacher) -> TeacherCheck:
    """Score a teacher, its outputs in the task's order, on 500 training examples drawn at random.

    The reported set decides nothing. A teacher that was trained on these examples does better on them than on
    others; one that has learned nothing, or has its labels mixed up, does not.
    """
    drawn = context.train.draw(CHECKED_EXAMPLES, seed=context.recipe.seed)
    answers = answer(
        model,
        context.tokenizer_of(teacher),
        drawn,
        context.task,
        max_length_tokens=context.recipe.data.max_length_tokens,
        stride_tokens=context.stride_tokens,
        batch_size=context.recipe.evaluate.batch_size,
    )
    return _checked(context, drawn, answers)


def check_soft_labels(context: Context) -> TeacherCheck | None:
    """The same of what the data says in the place of a teacher; None without labels to compare with."""
    if not context.train.labelled:
        return None
    drawn = context.train.draw(CHECKED_EXAMPLES, seed=context.recipe.seed)
    said = logits_of_data(context, drawn)
    task = context.task
    answers = predictions(said, regression=task.regression, multi_label=task.multi_label)
    return _checked(context, drawn, answers)


def _checked(context: Context, drawn: Examples, answers: npt.NDArray[Any]) -> TeacherCheck:
    compared = compare_with_constant(
        context.task.metric,
        answers,
        drawn.label_array(),
        seed=context.recipe.seed,
        label_names=drawn.label_names,
    )
    return TeacherCheck(
        metric=context.task.metric,
        examples=len(drawn),
        score=compared.score,
        constant_score=compared.constant_score,
        chance=compared.chance,
    )


def note_check(folder: Path, check: TeacherCheck) -> None:
    """Keep it with the teacher, so that a run that goes on need not score it again."""
    write_whole(folder / _FILE, check.model_dump_json(indent=1))


def noted_check(folder: Path) -> TeacherCheck:
    """What `note_check` kept."""
    return TeacherCheck.model_validate_json((folder / _FILE).read_text(encoding="utf-8"))


def refuse_weak(context: Context, check: TeacherCheck, who: str = "the teacher") -> None:
    """Raise a ModelError for a teacher that is no better than one answer for all, unless that is accepted."""
    section = context.recipe.teacher
    if not check.weak or section.accept_weak:
        return
    mend = "Check that it is of this task, and that its label names are right"
    if section.trains:
        mend = "Train it longer, or with another learning rate"
    if section.soft_labels:
        mend = "Check that each label has its own column"
    raise ModelError(
        f"{who} has nothing to teach: its {check.metric} on {check.examples} training examples is "
        f"{check.score:.3f}, and one answer for all of them has {check.constant_score:.3f} (in "
        f"{check.chance:.0%} of resamples it is no better; at most 5% would pass). {mend}; to go on all the "
        "same, set teacher.accept_weak = true"
    )
