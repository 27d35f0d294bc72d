"""``bertling export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich import box
from rich.console import Console
from rich.table import Table

from bertling.cli.evaluate import BatchSize, Labels, Length, task_named
from bertling.cli.report import read_run_results
from bertling.errors import RunFolderError
from bertling.report import numbers
from bertling.results_of_attention import attention_of_run
from bertling.results_of_exports import Export, Precision, exports_of_run

Source = Annotated[
    str, Parameter(help="Folder of a run, of its trimmed student, or of any saved model, or its hub name.")
]
Data = Annotated[
    Path | None,
    Parameter(
        help="Labelled examples to check on: a file with the task's columns, or a GLUE task's folder. "
        "Default: the set that the run reports."
    ),
]
TaskName = Annotated[
    str | None,
    Parameter(help="Of a saved model: one of GLUE's, or a recipe that ends in .toml, whose [task] it is."),
]
Output = Annotated[
    Path | None,
    Parameter(help="Folder to write. Default: export in the folder of the run or of its trimmed student."),
]
Precisions = Annotated[
    list[Precision] | None,
    Parameter(
        consume_multiple=True,
        negative="",
        help="float32 and int8, for bertling predict; bfloat16, for transformers. Default: all three.",
    ),
]
MaxDrop = Annotated[
    float,
    Parameter(
        validator=validators.Number(gte=0, lt=1),
        help="An export whose score falls by more, as a fraction of 1, is refused.",
    ),
]


def export(
    source: Source,
    /,
    *,
    data: Data = None,
    task: TaskName = None,
    labels: Labels = None,
    max_length_tokens: Length = None,
    output: Output = None,
    precisions: Precisions = None,
    max_drop: MaxDrop = 0.01,
    batch_size: BatchSize = 64,
) -> None:
    """Write a student for serving (ONNX in float32 and int8, and bfloat16), checked against PyTorch."""
    named = task_named(task) if task else None

    # torch, which --help and the errors above need not wait for
    from bertling.exporting.write import PRECISIONS
    from bertling.pipeline.export import export as export_source

    chosen = precisions or PRECISIONS
    result = export_source(
        source,
        data=data,
        task=named and named.task,
        labels=labels,
        max_length_tokens=max_length_tokens or (named and named.max_length_tokens),
        output=output,
        precisions=chosen,
        max_drop=max_drop,
        batch_size=batch_size,
    )
    console = Console()
    folder = output or Path(source) / "export"
    console.print(_table(result))
    console.print(
        f"scores times 100 on {result.examples:,} examples, {numbers.score(result.score)} in PyTorch; a drop "
        f"of {100 * result.max_drop:g} is allowed",
        soft_wrap=True,
        highlight=False,
    )
    for precision in chosen:
        console.print(f"wrote {folder / precision}", soft_wrap=True, highlight=False)
    if output is None:
        _show_in_report(source, console)
    if set(chosen) != {"bfloat16"}:
        served = "int8" if "int8" in chosen else "float32"
        console.print(f"next: bertling predict {folder / served} FILE", soft_wrap=True, highlight=False)


def _show_in_report(source: str, console: Console) -> None:
    """Make the report of the source's run again, where it has one."""
    from bertling.pipeline.students import student_of_run
    from bertling.report import write_report

    student = student_of_run(source)
    if student is None or not (student.run / "report.html").exists():
        return
    run = student.run
    try:
        results = read_run_results(run)
    except RunFolderError as error:
        said = f"the report stays as it was: {error}"
    else:
        page = run / "report.html"
        write_report(results, page, attention=attention_of_run(run), exports=exports_of_run(run))
        said = f"wrote {page}"
    console.print(said, soft_wrap=True, highlight=False, markup=False)


def _table(result: Export) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("precision")
    for column in ("MB", result.metric, "same answers", "largest logit difference"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in result.precisions:
        agreement = "" if row.label_agreement is None else f"{100 * row.label_agreement:.2f}%"
        table.add_row(
            row.precision,
            f"{row.size_bytes / 1e6:.1f}",
            numbers.score(row.score),
            agreement,
            f"{row.largest_logit_difference:.2g}",
        )
    return table
