"""``bertling validate``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertling.cli.options import Overrides, Source
from bertling.errors import RecipeError
from bertling.recipe.inputs import check_inputs
from bertling.recipe.load import load_recipe
from bertling.recipe.schema import AugmentSection, Recipe, StudentSection
from bertling.recipe.training_sections import (
    DistillationSection,
    GeneralSection,
    TaskDistillationSection,
    TrainingSection,
)

Data = Annotated[
    bool,
    Parameter(
        negative="",
        help="Read the data, look at the teacher and the disk, time a few steps, and estimate what the run "
        "takes. Nothing is written to the run folder.",
    ),
]


def validate(recipe: Source, /, *, data: Data = False, overrides: Overrides = None) -> None:
    """Check a recipe and what it names on this machine, and show the stages that it runs."""
    loaded = load_recipe(recipe, overrides or ())
    check_inputs(loaded)
    console = Console()
    console.print(_table(loaded))
    if data:
        # torch, which a look at the recipe alone need not wait for
        from bertling.pipeline.preflight import validate_data
        from bertling.pipeline.preflight_table import print_preflight

        found = validate_data(loaded)
        print_preflight(found, console)
        if found.refusals:
            raise RecipeError(found.refusals, source=loaded.name)
    console.print("ok")


def _table(recipe: Recipe) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=Text(f"{recipe.name} -> {recipe.folder}"))
    table.add_column("stage", no_wrap=True)
    table.add_column("what it does")
    for column in ("length", "batch", "peak rate"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage, what, training in stages_of(recipe):
        table.add_row(stage, Text(what), *(_schedule(training) if training else ()))
    return table


def stages_of(recipe: Recipe) -> list[tuple[str, str, TrainingSection | None]]:
    """Each stage that the recipe runs, in order: its name, what it does, and how long where it trains."""
    stages: list[tuple[str, str, TrainingSection | None]] = []
    named = recipe.teacher.named
    if recipe.teacher.trains:
        stages.append(("teacher", f"fine-tune {named}", recipe.teacher))
    else:
        stages.append(("teacher", f"take {named} as {'it is' if recipe.teacher.model else 'they are'}", None))
    if recipe.general and recipe.general.learns:
        texts = recipe.general.corpus or recipe.general.corpus_hub or "the builtin texts"
        stages.append(("general", f"{_terms(recipe.general)}, on {texts}", recipe.general))
    elif recipe.general:
        stages.append(("general", f"left out: the method {recipe.method} learns nothing there", None))
    if recipe.augment:
        stages.append(("augment", _growth(recipe.augment), None))
    if recipe.intermediate:
        stages.append(("intermediate", _lesson(recipe.intermediate), recipe.intermediate))
    stages.append(("prediction", _lesson(recipe.prediction), recipe.prediction))
    if recipe.baseline:
        stages.append(("baseline", "the student's shape, on labels alone", recipe.baseline))
    rivals = ", ".join(("the teacher", *recipe.evaluate.yardsticks))
    stages.append(("evaluate", f"{_shape(recipe.student)} against {rivals}", None))
    if recipe.report:
        stages.append(("report", str(recipe.folder / "report.html"), None))
    return stages


def _schedule(training: TrainingSection) -> tuple[str, str, str]:
    amount, unit = (training.max_steps, "step") if training.max_steps else (training.epochs, "epoch")
    if isinstance(training, GeneralSection) and training.max_tokens:
        amount, unit = training.max_tokens, "token"
    shown = f"{amount:,}" if isinstance(amount, int) else f"{amount:g}"
    length = f"{shown} {unit}" if amount == 1 else f"{shown} {unit}s"
    return length, str(training.batch_size * training.accumulation_steps), f"{training.learning_rate:g}"


def _terms(stage: DistillationSection) -> str:
    weights = {name: weight for name, weight in stage.terms.items() if weight}
    return " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in weights.items())


def _lesson(stage: TaskDistillationSection) -> str:
    return _terms(stage) + (", on unlabelled text too" if stage.unlabelled else "")


def _growth(stage: AugmentSection) -> str:
    return f"{stage.variants} variants of each text, {stage.mode}"


def _shape(student: StudentSection) -> str:
    if student.model:
        return f"student {student.model}{', made smaller' if student.makes_smaller else ''}"
    if student.layers:
        return f"student of {student.layers} layers, {student.width} wide"
    return f"student {student.preset}"
