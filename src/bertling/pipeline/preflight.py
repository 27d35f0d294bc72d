"""Everything that can be known of a run before anything expensive, once its data is prepared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from bertling.errors import ModelError, RunFolderError
from bertling.models.teacher import teacher_outputs
from bertling.pipeline.context import Context
from bertling.pipeline.corpus import reads_unlabelled
from bertling.pipeline.estimate import estimate_stages, most_bytes
from bertling.pipeline.fit import check_fit
from bertling.pipeline.preflight_table import estimate_table
from bertling.pipeline.preparation import prepare_data
from bertling.pipeline.processes import Processes, process_set_up
from bertling.pipeline.teacher_check import check_soft_labels, check_teacher, refuse_weak
from bertling.pipeline.teachers import TaskTeacher, task_teachers
from bertling.pipeline.text_sets import (
    TextSet,
    look_at_corpus,
    look_at_examples,
    sample_of_corpus,
    sample_of_unlabelled,
)
from bertling.recipe.schema import Recipe
from bertling.report import numbers
from bertling.results import Preflight, TeacherCheck, TextLengths


def announce(context: Context) -> None:
    """Print what the stages that are not finished will take; nothing where those that last are.

    Raises:
        RunFolderError: the disk has no room for them.
    """
    if all(context.stages.begun(name) is None for name in _lasting_stages(context.recipe)):
        return
    found = look_ahead(context)
    if found.refusals:
        raise RunFolderError("; ".join(found.refusals))
    context.console.print(estimate_table(found))


def validate_data(recipe: Recipe) -> Preflight:
    """Look at a recipe's data, teacher and disk, and estimate what a run takes, without touching its folder.

    Raises:
        BertlingError: data, models or settings that cannot be used at all. What a run would refuse after a
            look at them stands in the result.
    """
    with TemporaryDirectory(prefix="bertling-") as folder, process_set_up(recipe):
        context = Context(recipe, Path(folder), Console(quiet=True), Processes())
        check_fit(context)
        prepare_data(context)
        checks, refusals = _checks(context)
        found = look_ahead(context)
        several = recipe.teacher.predictions_only
        checked = {"teachers": checks} if several else {"teacher": checks.get(recipe.source)}
        return found.model_copy(update={**checked, "refusals": [*refusals, *found.refusals]})


def _checks(context: Context) -> tuple[dict[str, TeacherCheck], list[str]]:
    """Of each teacher that is taken as it is, by its name; and why a run would refuse some."""
    section = context.recipe.teacher
    if section.trains:
        return {}, []
    looks: dict[str, Callable[[], TeacherCheck | None]] = {
        teacher.model: partial(_look_at, context, teacher) for teacher in task_teachers(context.recipe)
    }
    if section.soft_labels:
        looks[section.named] = partial(check_soft_labels, context)
    checks, refusals = {}, []
    for name, look in looks.items():
        try:
            if (check := look()) is not None:
                checks[name] = check
                refuse_weak(context, check, name if section.soft_labels else f"the teacher {name}")
        except ModelError as error:
            refusals.append(str(error))
    return checks, refusals


def _look_at(context: Context, teacher: TaskTeacher) -> TeacherCheck:
    return check_teacher(context, context.teacher_as_it_is(teacher), teacher)


def look_ahead(context: Context) -> Preflight:
    """Lengths, and an estimate of the stages that are not finished; for a run whose data is prepared."""
    recipe = context.recipe
    with TemporaryDirectory(prefix="bertling-") as folder:
        looks = _looks(context, Path(folder))
        stages = estimate_stages(context, {name: texts for name, (texts, _) in looks.items()})
    needed = most_bytes(context, stages)
    free = shutil.disk_usage(_existing(recipe.folder)).free
    refusals = []
    if needed > free:
        refusals.append(
            f"the run needs about {numbers.memory(needed)} in {recipe.folder}, and "
            f"{numbers.memory(free)} are free there: choose another output, make room, or set a higher "
            "checkpoint_steps, fewer variants or teacher_cache = 'never'"
        )
    return Preflight(
        classes=context.train.label_names,
        outputs=_outputs(recipe),
        answers=context.task.question_answering,
        vocabulary_entries=len(context.tokenizer),
        lengths=[lengths for _, lengths in looks.values()],
        teacher=None,
        predictions_only=recipe.teacher.predictions_only,
        stages=stages,
        exact=recipe.augment is None and all(texts.exact for texts, _ in looks.values()),
        needed_bytes=needed,
        free_bytes=free,
        refusals=refusals,
    )


def _lasting_stages(recipe: Recipe) -> list[str]:
    """The stages that take long, as far as the recipe names them."""
    optional = ("augment", "intermediate", "baseline")
    general = ["general"] * (recipe.general is not None and recipe.general.learns)
    teachers = [teacher.stage for teacher in task_teachers(recipe)]
    return [*teachers, "prediction", *general, *(name for name in optional if getattr(recipe, name))]


def _looks(context: Context, folder: Path) -> dict[str, tuple[TextSet, TextLengths]]:
    looks = {
        "train": look_at_examples(context, context.train, "train"),
        "test": look_at_examples(context, context.test, "test"),
    }
    if context.recipe.general:
        looks["general"] = look_at_corpus(context, "general", sample_of_corpus, folder)
    if reads_unlabelled(context):
        looks["unlabelled"] = look_at_corpus(context, "unlabelled", sample_of_unlabelled, folder)
    return looks


def _outputs(recipe: Recipe) -> list[str] | None:
    """What the outputs of a teacher that is taken as it is are called, in its order."""
    unnamed = recipe.task.question_answering or recipe.task.sentence_embeddings
    if recipe.teacher.fine_tune or recipe.teacher.model is None or unnamed:
        return None
    return list(recipe.teacher.labels or teacher_outputs(recipe.teacher.model))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that exists."""
    whole = folder.absolute()
    return next(place for place in (whole, *whole.parents) if place.exists())
