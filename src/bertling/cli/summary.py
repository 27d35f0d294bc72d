"""What a finished run prints: the models side by side, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertling.recipe.catalog import recipe_names
from bertling.recipe.schema import Recipe
from bertling.report import numbers
from bertling.report.yardsticks import yardstick_names
from bertling.results import ModelResult, Results


def print_results(
    results: Results, console: Console, *, recipe: Recipe, source: str, overrides: Sequence[str] = ()
) -> None:
    """Print the table of models, the score retention, and the next steps.

    Args:
        results: of the run.
        console: to print on; 80 columns are enough.
        recipe: that was run.
        source: the recipe as it was named on the command line.
        overrides: those of the command line.
    """
    student = recipe.folder / "student"
    lines = [*_verdict(results), ""]
    if recipe.report:
        lines.append(f"report   {recipe.folder / 'report.html'}")
    lines += [f"student  {student}", "", "next:"]
    lines += [f"  {step}" for step in _next_steps(recipe, source, overrides)]
    auto = f"AutoModelFor{recipe.task.head}" if recipe.task.head else "AutoModel"
    lines += ["in Python:", f'  {auto}.from_pretrained("{student.as_posix()}")']
    console.print(_table(results))
    # commands and paths stay in one piece, so that they can be copied
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _table(results: Results) -> Table:
    threads = "1 thread" if results.latency_threads == 1 else f"{results.latency_threads} threads"
    caption = f"scores times 100; ms: median latency of one text, float32, {threads}"
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("model")
    for column in (results.student.metric, "params", "MB", "ms", "speed-up"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, model in _models(results):
        speedup = results.speedup if model is results.student else _speedup(results.teacher, model)
        table.add_row(
            name,
            numbers.score(model.score),
            numbers.parameters(model.parameters),
            numbers.megabytes(model.size_bytes),
            numbers.significant(model.latency_ms_p50),
            numbers.ratio(speedup),
            style="bold" if model is results.student else None,
        )
    return table


def _models(results: Results) -> list[tuple[str, ModelResult]]:
    yardsticks = results.yardsticks
    names = yardstick_names(results.data.kind)
    rows = [(name, yardsticks[key]) for key, name in names.items() if key in yardsticks]
    if results.baseline:
        rows.append(("baseline (labels alone)", results.baseline))
    rows.append(("distilled student", results.student))
    return [*rows, ("teacher", results.teacher)] if results.teacher else rows


def _speedup(teacher: ModelResult | None, model: ModelResult) -> float | None:
    if teacher and teacher.latency_ms_p50 and model.latency_ms_p50:
        return teacher.latency_ms_p50 / model.latency_ms_p50
    return None


def _verdict(results: Results) -> list[str]:
    if results.teacher is None:
        kept = "Nothing is known of what the teacher says of the reported set: its soft labels are not there."
    elif results.score_retention is None:
        kept = "The teacher's score is not above zero, so there is no share of it to keep."
    else:
        kept = f"The student keeps {numbers.percent(results.score_retention)} of the teacher's score."
    if results.speedup is None:
        return [kept, *_beside(results)]
    faster, smaller = numbers.ratio(results.speedup), numbers.ratio(results.size_ratio)
    return [kept, *_beside(results), f"It is {faster} as fast and {smaller} smaller."]


def _beside(results: Results) -> list[str]:
    """A line with the task's further figures, where it has any."""
    teacher, student = results.teacher, results.student
    metrics, sets = (teacher.further_metrics, teacher.further_sets) if teacher else ({}, {})
    figures = [(str(metric), value, metrics.get(metric)) for metric, value in student.further_metrics.items()]
    figures += [
        (f"{student.metric} {name}", value, sets.get(name)) for name, value in student.further_sets.items()
    ]
    if not figures:
        return []
    shown = (
        f"{name} {numbers.score(value)}" + ("" if other is None else f" (teacher {numbers.score(other)})")
        for name, value, other in figures
    )
    return [f"Beside its score: {', '.join(shown)}."]


def _next_steps(recipe: Recipe, source: str, overrides: Sequence[str]) -> list[str]:
    """Commands that work as they stand; another student goes into a run folder of its own."""
    student = recipe.student
    change, mark = f"seed={recipe.seed + 1}", f"seed{recipe.seed + 1}"
    if student.width and student.heads and student.width % (2 * student.heads) == 0:
        change, mark = f"student.width={student.width // 2}", f"w{student.width // 2}"
    place = f"output={recipe.output}-{mark}" if recipe.output else f"name={recipe.name}-{mark}"
    kept = [override for override in overrides if _key(override) not in map(_key, (place, change))]
    settings = [part for override in (*kept, place, change) for part in ("--set", override)]
    steps = [shlex.join(["bertling", "run", source, *settings])]
    if source in recipe_names():
        steps.append(f"bertling recipes copy {source} my.toml")
    return steps


def _key(override: str) -> str:
    return override.partition("=")[0].strip()
