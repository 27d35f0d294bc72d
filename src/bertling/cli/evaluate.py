"""``bertling evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import Parameter, validators
from rich import box
from rich.console import Console
from rich.table import Table

from bertling.errors import DataError
from bertling.recipe.load import load_recipe
from bertling.report import numbers
from bertling.results import Evaluation
from bertling.tasks import GLUE, Task

Model = Annotated[
    str, Parameter(help="Folder of a saved model with a head, or of a sentence encoder; or its hub name.")
]
Data = Annotated[
    Path,
    Parameter(help="The task's folder in GLUE's own layout, or a file with the task's columns and labels."),
]
TaskName = Annotated[
    str,
    Parameter(help=f"One of {', '.join(GLUE)}; or a recipe, a file that ends in .toml, whose [task] it is."),
]
Labels = Annotated[
    list[str] | None,
    Parameter(
        consume_multiple=True,
        negative="",
        help="Names of the model's outputs, in its order. Default: as its config.json has them.",
    ),
]
Length = Annotated[
    int | None,
    Parameter(
        validator=validators.Number(gte=4),
        help="Longer texts are cut, longer contexts of questions come in windows. Default: the recipe's; 64 "
        "for GLUE's single texts, 128 for pairs.",
    ),
]
BatchSize = Annotated[int, Parameter(validator=validators.Number(gte=1), help="Texts at a time.")]


def evaluate(
    model: Model,
    data: Data,
    /,
    *,
    task: TaskName,
    labels: Labels = None,
    max_length_tokens: Length = None,
    batch_size: BatchSize = 64,
) -> None:
    """Score a saved model on a task's labelled data, with all of the task's metrics."""
    named = task_named(task)

    # torch, which --help and the errors above need not wait for
    from bertling.pipeline.judging import evaluate_model

    results = evaluate_model(
        model,
        data,
        named.task,
        labels=labels,
        max_length_tokens=max_length_tokens or named.max_length_tokens,
        stride_tokens=named.stride_tokens,
        batch_size=batch_size,
    )
    cut = "contexts in windows of" if named.task.question_answering else "texts cut at"
    console = Console()
    console.print(_table(results))
    console.print(
        f"scores times 100 of {results.model}, {cut} {results.max_length_tokens} tokens",
        soft_wrap=True,
        highlight=False,
    )


class NamedTask(NamedTuple):
    """A task, and how a recipe has its texts cut."""

    task: Task
    max_length_tokens: int | None = None
    stride_tokens: int | None = None


def task_named(name: str) -> NamedTask:
    """A GLUE task, or the task of the recipe of that name.

    Raises:
        DataError: neither of them.
        RecipeError: a recipe that cannot be read.
    """
    if name in GLUE:
        return NamedTask(GLUE[name])
    if not name.endswith(".toml"):
        raise DataError(
            f"--task: got {name}; expected one of {', '.join(GLUE)}, or a recipe that ends in .toml"
        )
    recipe = load_recipe(name)

    # torch, which the errors above need not wait for
    from bertling.pipeline.context import task_of

    return NamedTask(task_of(recipe), recipe.data.max_length_tokens, recipe.data.stride_tokens)


def _table(results: Evaluation) -> Table:
    # A set in each column: there are at most two, and up to six figures.
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("set")
    for measured in results.sets:
        table.add_column(measured.name, justify="right")
    table.add_row("examples", *(f"{measured.examples:,}" for measured in results.sets))
    for figure in results.sets[0].figures:
        table.add_row(figure, *(numbers.score(measured.figures[figure]) for measured in results.sets))
    return table
