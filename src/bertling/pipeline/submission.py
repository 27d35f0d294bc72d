"""The files that GLUE's server takes: one for each test set, and one for the diagnostic set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertling.data.examples import Examples
from bertling.data.glue import read_glue_test
from bertling.errors import DataError, ModelError
from bertling.files import write_whole
from bertling.models.labels import output_order
from bertling.models.task_model import load_task_model
from bertling.models.teacher import load_tokenizer, teacher_outputs
from bertling.pipeline.judging import answer, default_length
from bertling.recipe.load import load_recipe
from bertling.tasks import GLUE, SUBMISSIONS, Task

_LOWEST, _HIGHEST = 0.0, 5.0  # of STS-B's scale


@dataclass(frozen=True, slots=True)
class TaskModel:
    """A saved model that answers for a task.

    Attributes:
        model: folder, hub name or ``package:NAME``.
        max_length_tokens: longer texts are cut.
    """

    model: str
    max_length_tokens: int


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a submission.

    Attributes:
        files: those that were written.
        missing: file name -> why it was not.
    """

    files: list[Path]
    missing: dict[str, str]


def find_models(sources: Sequence[str]) -> dict[str, TaskModel]:
    """Task -> the model that answers for it.

    Args:
        sources: run folders of GLUE tasks, folders of such run folders (as `bertling glue` leaves), or
            ``TASK=MODEL`` for any other saved model, with the paper's length limit.

    Raises:
        ModelError: a source that is none of these, a run without a student, or two models for a task.
    """
    models: dict[str, TaskModel] = {}
    for source in sources:
        for task, model in _models_of(source):
            if task in models:
                raise ModelError(
                    f"two models for the task {task}: {models[task].model} and {model.model}. Give one"
                )
            models[task] = model
    return models


def submit(models: Mapping[str, TaskModel], data: Path, output: Path, *, batch_size: int = 64) -> Written:
    """Answer the test sets, and write the answers as GLUE's server reads them.

    Every file has the header ``index``, ``prediction`` and a line for each of the test file's, in its order.
    A class is written as the task's label column has it (``1``, ``entailment``), a number between 0 and 5
    with three decimals. The model's outputs are matched with the classes by name, in whatever order they are.

    Args:
        models: task -> model; MNLI's answers the diagnostic set as well.
        data: the folder that holds the tasks' folders in GLUE's own layout, ``diagnostic`` among them.
        output: folder that is written to.
        batch_size: texts at a time.

    Returns:
        What was written, and what is missing because there is no model or no test file.

    Raises:
        DataError: a test file that is not whole, or none at all that can be answered.
        ModelError: a model whose outputs are not its task's classes, or that cannot be read.
    """
    if not data.is_dir():
        raise DataError(f"{data.absolute()} is no folder: expected the one that holds GLUE's task folders")
    missing = {
        submission.file: f"no model for {submission.task}"
        if submission.task not in models
        else f"no file {data / submission.source}"
        for submission in SUBMISSIONS
        if submission.task not in models or not (data / submission.source).is_file()
    }
    # All of them, and what the models call their outputs, before the first answers, which may take hours.
    tests = {
        submission: read_glue_test(data / submission.source, submission)
        for submission in SUBMISSIONS
        if submission.file not in missing
    }
    if not tests:
        reasons = "\n".join(f"  - {file}: {why}" for file, why in missing.items())
        raise DataError(f"nothing to submit:\n{reasons}\nGive models of tasks whose test files are there.")
    for task in dict.fromkeys(submission.task for submission in tests):
        if classes := GLUE[task].labels:
            output_order(teacher_outputs(models[task].model), list(classes.values()))
    output.mkdir(parents=True, exist_ok=True)
    files = []
    for submission, examples in tests.items():
        lines = _answers(models[submission.task], GLUE[submission.task], examples, batch_size=batch_size)
        files.append(output / submission.file)
        write_whole(files[-1], submission_text(lines))
    return Written(files, missing)


def submission_words(answers: npt.NDArray[np.float32 | np.int64], task: Task) -> list[str]:
    """Answers as the server reads them: the label column's words, or numbers from 0 to 5.

    Args:
        answers: (N,) class ids in the task's order, or numbers for a regression.
        task: one of GLUE's.
    """
    if task.labels is None:
        return [f"{min(max(float(number), _LOWEST), _HIGHEST):.3f}" for number in answers]
    words = list(task.labels)
    return [words[int(index)] for index in answers]


def submission_text(words: Sequence[str]) -> str:
    """The whole file."""
    return "\n".join(["index\tprediction", *(f"{index}\t{word}" for index, word in enumerate(words))]) + "\n"


def _answers(model: TaskModel, task: Task, examples: Examples, *, batch_size: int) -> list[str]:
    names = list(task.labels.values()) if task.labels else None
    classifier = load_task_model(model.model, task, label_names=names, new_head=False)
    answers = answer(
        classifier,
        load_tokenizer(model.model),
        examples,
        task,
        max_length_tokens=model.max_length_tokens,
        batch_size=batch_size,
    )
    return submission_words(answers, task)


def _models_of(source: str) -> list[tuple[str, TaskModel]]:
    task, equals, model = source.partition("=")
    if equals and task in GLUE:
        return [(task, TaskModel(model, default_length(GLUE[task])))]
    folder = Path(source)
    if (folder / "recipe.toml").is_file():
        return [_model_of_run(folder)]
    runs = sorted(place.parent for place in folder.glob("*/recipe.toml"))
    if not runs:
        raise ModelError(
            f"{source} is no run folder and holds none. Expected a run folder of a GLUE task, a folder of "
            f"such run folders, or TASK=MODEL with one of {', '.join(GLUE)}"
        )
    return [_model_of_run(run) for run in runs]


def _model_of_run(run: Path) -> tuple[str, TaskModel]:
    recipe = load_recipe(run / "recipe.toml")
    if recipe.task.name not in GLUE:
        raise ModelError(f"{run} is a run of the task {recipe.task.name}, which is none of {', '.join(GLUE)}")
    student = run / "student"
    if not student.is_dir():
        raise ModelError(f"{run} has no student yet: let the run come to its end, the same command goes on")
    return recipe.task.name, TaskModel(str(student), recipe.data.max_length_tokens)
