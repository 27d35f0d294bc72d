"""``bertling attention``."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Annotated

from cyclopts import Parameter, validators
from rich import box
from rich.console import Console
from rich.table import Table

from bertling.cli.report import read_run_results
from bertling.report import numbers
from bertling.results_of_attention import AttentionResults, ModelAttention
from bertling.results_of_exports import exports_of_run

Run = Annotated[Path, Parameter(help="Folder of a finished run.")]
Count = Annotated[
    int, Parameter(validator=validators.Number(gte=1), help="So many of the examples that the run reports.")
]
_MOSTLY = 0.5


def attention(run: Run, /, *, examples: Count = 200) -> None:
    """Analyse what the attention heads of a run's teacher and student look at, and show it in its report."""
    results = read_run_results(run)

    # torch, which --help and the errors above need not wait for
    from bertling.pipeline.attention import attention as analyse
    from bertling.report import write_report

    found = analyse(run, examples=examples)
    write_report(results, run / "report.html", attention=found, exports=exports_of_run(run))
    console = Console()
    console.print(_table(found))
    console.print(
        f"means over heads and {found.tokens:,} tokens of {numbers.count(found.texts, 'text')}; in brackets, "
        "heads that give it more than half of their attention; uniform: a head that attends to all alike",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    for name in ("attention.json", "report.html"):
        console.print(f"wrote {run / name}", soft_wrap=True, highlight=False, markup=False)


def _table(found: AttentionResults) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("attention to")
    models = list(found.models.values())
    for role, model in found.models.items():
        table.add_column(f"{role}, {model.layers} x {model.heads} heads", justify="right")
    table.add_column("uniform", justify="right")
    names = {
        "to_sep": found.sep_token or "separator",
        "to_cls": found.cls_token or "first token",
        "to_punctuation": "punctuation",
        "to_previous": "previous token",
        "to_next": "next token",
        "to_itself": "same token",
    }
    for figure, name in names.items():
        uniform = numbers.percent(getattr(found.uniform, figure))
        table.add_row(name, *(_shares(model, figure) for model in models), uniform)
    for figure, name in (("entropy_nats", "entropy, nats"), ("distance_tokens", "distance, tokens")):
        means = [fmean(getattr(head, figure) for head in model.figures) for model in models]
        table.add_row(name, *(f"{mean:.2f}" for mean in (*means, getattr(found.uniform, figure))))
    return table


def _shares(model: ModelAttention, figure: str) -> str:
    """The mean of all heads, and how many are above a half."""
    values = [getattr(head, figure) for head in model.figures]
    if None in values:
        return numbers.NOTHING
    return f"{numbers.percent(fmean(values))} ({sum(value > _MOSTLY for value in values)})"
