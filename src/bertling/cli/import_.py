"""``bertling import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from bertling.models.original import ImportReport


def import_(
    source: Annotated[
        Path,
        Parameter(help="Folder with config.json, vocab.txt and pytorch_model.bin or model.safetensors."),
    ],
    dest: Annotated[Path, Parameter(help="Folder to write, new or empty.")],
    /,
    *,
    lower_case: Annotated[
        bool,
        Parameter(
            help="The vocabulary is of lower-cased text; a tokenizer_config.json that says goes first."
        ),
    ] = True,
) -> None:
    """Bring in a General TinyBERT that the original code saved: its tensors alone, no code of the pickle."""
    # torch, which --help need not wait for
    from bertling.models.original import import_original

    report = import_original(source, dest, lower_case=lower_case)
    use = f'in a recipe without [general]: [student] model = "{dest.as_posix()}"'
    lines = [f"wrote {dest}", *format_report(report), use]
    Console().print(Text("\n".join(lines)), soft_wrap=True)


def format_report(report: ImportReport) -> list[str]:
    """What was brought in and what was not, in plain words, one fact a line."""
    shape = report.shape
    case = "lower-cased" if report.lower_case else "cased"
    lines = [
        f"model        BERT, {shape.layers} layers, {shape.width} wide, {shape.heads} heads, ffn {shape.ffn}",
        f"vocabulary   {report.vocabulary:,} entries, {case}",
        f"taken        {len(report.taken)} tensors, {report.parameters:,} parameters",
    ]
    projections = [f"{name} {'x'.join(map(str, size))}" for name, size in report.projections.items()]
    for what, names in (
        ("projections", projections),
        ("heads", report.heads),
        ("not used", report.unused),
    ):
        if names:
            lines.append(f"{what:<12} dropped: {', '.join(names)}")
    if report.missing:
        lines.append(
            f"{'missing':<12} {', '.join(report.missing)}: saved without a pooler; a task stage starts one "
            "at random, from the recipe's seed"
        )
    return lines
