"""``bertling trim``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich import box
from rich.console import Console
from rich.table import Table

from bertling.cli.evaluate import BatchSize
from bertling.report import numbers
from bertling.results_of_exports import Trimming

Source = Annotated[str, Parameter(help="Folder of a run, or of any saved model, or its hub name.")]
Texts = Annotated[
    list[Path] | None,
    Parameter(
        consume_multiple=True,
        negative="",
        help="Files or folders with text of the domain: a text a line, .jsonl or .parquet (.txt and .jsonl "
        "also .gz, .zst). Of a run they are looked at beside its training set.",
    ),
]
Output = Annotated[Path | None, Parameter(help="Folder to write. Default: trimmed in the run's folder.")]
MinCount = Annotated[
    int,
    Parameter(
        validator=validators.Number(gte=1), help="Pieces that occur less often in these texts are dropped."
    ),
]


def trim(
    source: Source,
    /,
    *,
    texts: Texts = None,
    output: Output = None,
    min_count: MinCount = 1,
    batch_size: BatchSize = 64,
) -> None:
    """Drop the word pieces that a domain's texts never use, from the tokenizer and the embedding."""
    # torch, which --help need not wait for
    from bertling.pipeline.trimming import trim as trim_source

    result = trim_source(source, texts=texts or (), output=output, min_count=min_count, batch_size=batch_size)
    folder = output or Path(source) / "trimmed"
    console = Console()
    console.print(_table(result))
    lines = [f"pieces of {result.texts:,} texts were kept, and those that any text needs"]
    if result.examples is not None:
        lines.append(
            f"scores times 100 on {result.examples:,} other examples, "
            f"{100 * (result.resplit_fraction or 0):.2f}% of whose pieces gave way to others"
        )
    lines.append(f"wrote {folder}")
    if (folder.parent / "recipe.toml").is_file():  # elsewhere, an export has to be told its data and task
        lines.append(f"next: bertling export {folder}")
    console.print("\n".join(lines), soft_wrap=True, highlight=False)


def _table(result: Trimming) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in ("before", "after"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_row("word pieces", f"{result.pieces_before:,}", f"{result.pieces_after:,}")
    parameters = (result.parameters_before, result.parameters_after)
    table.add_row("parameters", *(f"{count:,}" for count in parameters))
    table.add_row("MB in float32", *(f"{4 * count / 1e6:.1f}" for count in parameters))
    if result.metric is not None:
        table.add_row(result.metric, numbers.score(result.score_before), numbers.score(result.score_after))
    return table
