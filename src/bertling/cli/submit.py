"""``bertling submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from bertling.cli.evaluate import BatchSize

Models = Annotated[
    list[str],
    Parameter(
        negative="",
        help="Run folders of GLUE tasks, or the folder of bertling glue that holds them; TASK=MODEL, as in "
        "cola=FOLDER, for any other saved model.",
    ),
]
Data = Annotated[
    Path, Parameter(help="The folder that holds the tasks' folders, with GLUE's own test files.")
]
Output = Annotated[Path, Parameter(help="Folder for the files.")]


def submit(models: Models, /, *, data: Data, output: Output, batch_size: BatchSize = 64) -> None:
    """Answer GLUE's test sets and write the files that its server takes, the diagnostic set among them."""
    # torch, which --help need not wait for
    from bertling.pipeline import submission

    console = Console()
    written = submission.submit(submission.find_models(models), data, output, batch_size=batch_size)
    for file in written.files:
        console.print(f"wrote {file}", soft_wrap=True, highlight=False)
    if written.missing:
        console.print(f"missing, where the server wants {len(written.files) + len(written.missing)} files:")
        for name, why in written.missing.items():
            console.print(f"  {name}: {why}", soft_wrap=True, highlight=False)
    else:
        console.print(
            f"all {len(written.files)} files are there: zip them, without a folder, and upload that"
        )
