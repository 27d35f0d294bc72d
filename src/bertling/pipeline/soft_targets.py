"""Stage ``soft-targets``: what teachers say of each training text, where they give predictions alone.

That is where they read the texts with tokenizers of their own, are several, or are no model at all but
columns of the data. The student's task stages then read a table in the place of a teacher.

N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertling.augmentation.augmented import load_augmented
from bertling.data.examples import Examples
from bertling.data.tokenization import TokenRows
from bertling.errors import RecipeError
from bertling.evaluation.soft_targets import as_logits, averaged
from bertling.files import whole_file
from bertling.pipeline.context import Context
from bertling.pipeline.stages import Clock, scratch
from bertling.pipeline.teacher_caching import Lines
from bertling.pipeline.teachers import TaskTeacher, task_teachers
from bertling.recipe.schema import Recipe
from bertling.states import Parts
from bertling.training.cache_filling import fill_teacher_cache
from bertling.training.step_time import measured_on
from bertling.training.teacher_cache import SoftTargets

SOFT_TARGETS = "soft-targets"
_FILE = "logits.npy"


def prepare_soft_targets(context: Context) -> None:
    """Write what the teachers say, averaged; nothing where the teacher shows its states, or nobody asks."""
    recipe = context.recipe
    if not reads_predictions(recipe):
        return
    teachers = task_teachers(recipe)

    def work(folder: Path, clock: Clock) -> None:
        if not teachers:
            _write(folder, logits_of_data(context, context.train))
            return
        texts = load_augmented(context.augmented_rows) if recipe.augment else context.train
        said = [_predictions(context, folder, teacher, texts) for teacher in teachers]
        if context.processes.first:
            _write(folder, average(context, said))

    context.stages.run(
        SOFT_TARGETS,
        version=1,
        settings=[
            recipe.data.max_length_tokens,
            recipe.prediction.precision,
            [teacher.weight for teacher in teachers],
        ],
        inputs=context.digest(
            "data", *["augment"] * (recipe.augment is not None), *(teacher.stage for teacher in teachers)
        ),
        work=work,
        together=bool(teachers),
    )


def soft_targets(context: Context, dataset: TokenRows) -> SoftTargets:
    """What the stage wrote, for the same texts as the student reads them."""
    return SoftTargets(np.load(context.stages.done[SOFT_TARGETS].folder / _FILE), dataset.lengths)


def reads_predictions(recipe: Recipe) -> bool:
    """Whether a task stage reads predictions of teachers that give nothing else."""
    stages = filter(None, (recipe.intermediate, recipe.prediction))
    asked = any(stage.terms.get(term) for stage in stages for term in ("prediction", "soft_targets"))
    return recipe.teacher.predictions_only and asked


def logits_of_data(context: Context, examples: Examples) -> npt.NDArray[np.float32]:
    """(N, C), the soft labels that examples bring."""
    return as_logits(
        np.asarray(examples.soft_labels, dtype=np.float64),
        regression=context.task.regression,
        multi_label=context.task.multi_label,
    )


def average(context: Context, logits: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """What several teachers say, with the recipe's weights, as one would."""
    return averaged(
        logits,
        [teacher.weight for teacher in task_teachers(context.recipe)],
        regression=context.task.regression,
        multi_label=context.task.multi_label,
    )


def refuse_labels(context: Context) -> None:
    """Raise a RecipeError for what learns from labels, where the training data has none but soft ones."""
    if problems := list(_asks_for_labels(context.recipe)):
        where = f"the training data has soft labels and no column {context.task.label!r}"
        raise RecipeError(
            [f"{what}: {where}: leave it out, or add labels" for what in problems], source=context.recipe.name
        )


def _asks_for_labels(recipe: Recipe) -> Iterator[str]:
    if recipe.baseline:
        yield "[baseline]"
    if recipe.task.class_weights:
        yield "[task] class_weights"
    if recipe.evaluate.yardsticks:
        yield "[evaluate] yardsticks"
    for name, section in (("intermediate", recipe.intermediate), ("prediction", recipe.prediction)):
        if section and section.terms.get("labels"):
            yield f"[{name}] terms: labels"


def _predictions(
    context: Context, folder: Path, teacher: TaskTeacher, texts: Examples
) -> npt.NDArray[np.float32]:
    """(N, C), by all processes together; a kill costs little of it."""
    filled = fill_teacher_cache(
        context.classifier(context.model_of(teacher.stage), new_head=False),
        context.tokenized(texts, teacher=teacher),
        Parts(logits=True),
        folder=scratch(folder) / teacher.stage,
        tokenizer=context.tokenizer_of(teacher),
        precision=context.recipe.prediction.precision,
        device=measured_on(),
        process=context.processes.rank,
        processes=context.processes.count,
        wait=context.processes.wait,
        progress=Lines(context, teacher.stage),
    )
    return filled.logits


def _write(folder: Path, logits: npt.NDArray[np.float32]) -> None:
    with whole_file(folder / _FILE) as partial, partial.open("wb") as opened:
        np.save(opened, logits)
