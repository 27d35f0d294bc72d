"""What a preflight found, for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertling.report import numbers
from bertling.results import Preflight, TeacherCheck


def print_preflight(found: Preflight, console: Console) -> None:
    """Lengths, labels, the teacher's score, and the estimate; 80 columns are enough."""
    console.print(_lengths_table(found))
    for what, says in _facts(found):
        console.print(Text(f"{what:<12}{says}"), soft_wrap=True)
    console.print(estimate_table(found))


def estimate_table(found: Preflight) -> Table:
    """Steps, tokens, time and disk of each stage, and of all."""
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=_how(found),
        caption_justify="left",
        show_footer=True,
        footer_style="bold",
    )
    seconds = sum(stage.seconds or 0 for stage in found.stages)
    some = "" if all(stage.seconds is not None for stage in found.stages if stage.tokens) else "over "
    table.add_column("estimate", "all", no_wrap=True)
    for name, footer in (
        ("steps", ""),
        ("tokens", ""),
        ("time", some + numbers.duration(seconds)),
        ("MB kept", numbers.megabytes(sum(stage.disk_bytes for stage in found.stages))),
        ("MB meanwhile", ""),
    ):
        table.add_column(name, footer, justify="right", no_wrap=True)
    for stage in found.stages:
        table.add_row(
            stage.name,
            _count(stage.steps),
            _count(stage.tokens),
            numbers.NOTHING if stage.seconds is None else numbers.duration(stage.seconds),
            _megabytes(stage.disk_bytes),
            _megabytes(stage.scratch_bytes),
        )
    return table


def _how(found: Preflight) -> str:
    sampled = any(texts.rows != texts.all_rows for texts in found.lengths)
    grown = any(stage.name == "augment" for stage in found.stages)
    notes = ["tokens from a sample of the texts"] * sampled + ["variants: as many as there can be"] * grown
    return (
        f"{'; '.join(['a few steps of each kind, timed on this machine as it is now', *notes])}. Disk: "
        f"{numbers.memory(found.needed_bytes)} at once, {numbers.memory(found.free_bytes)} free"
    )


def _lengths_table(found: Preflight) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        caption="in tokens; cut off: texts above the limit, which lose their end; a corpus loses nothing",
        caption_justify="left",
    )
    table.add_column("lengths", no_wrap=True)
    for name in ("texts", "median", "95% up to", "longest", "limit", "cut off"):
        table.add_column(name, justify="right", no_wrap=True)
    for texts in found.lengths:
        table.add_row(
            texts.name,
            _count(texts.all_rows),
            _count(texts.median_tokens),
            _count(texts.p95_tokens),
            _count(texts.longest_tokens),
            _count(texts.limit_tokens),
            numbers.percent(texts.truncated_fraction),
        )
    return table


def _facts(found: Preflight) -> list[tuple[str, str]]:
    others = "parts of the contexts, which answer questions" if found.answers else "numbers"
    facts = [("labels", ", ".join(found.classes) if found.classes else others)]
    if found.classes and found.outputs and found.outputs != found.classes:
        facts.append(("", f"the teacher's own are {', '.join(found.outputs)}: matched by name"))
    whose = "the student's" if found.predictions_only else "the teacher's and the student's"
    facts.append(("vocabulary", f"{found.vocabulary_entries:,} entries, {whose}"))
    if found.teacher:
        facts.append(("teacher", _score(found.teacher)))
    for name, check in found.teachers.items():
        facts += [("teacher", name), ("", _score(check))]
    return facts


def _score(check: TeacherCheck) -> str:
    return (
        f"{check.metric} {numbers.score(check.score)} on {check.examples} training examples; one "
        f"answer for all of them {numbers.score(check.constant_score)}"
    )


def _count(value: int | None) -> str:
    return numbers.NOTHING if value is None else f"{value:,}"


def _megabytes(value: int) -> str:
    return numbers.megabytes(value) if value else numbers.NOTHING
