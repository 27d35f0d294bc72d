"""``bertling predict``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from bertling.errors import DataError
from bertling.files import whole_file
from bertling.inference.inputs import Format

Folder = Annotated[Path, Parameter(help="Folder of an export, such as RUN/export/int8.")]
Input = Annotated[
    Path | None,
    Parameter(
        help="A .txt, .tsv, .csv or .jsonl file, for models that label words .conll, .txt in that layout, or "
        ".jsonl; each also with .gz. Default: standard input."
    ),
]
Output = Annotated[
    Path | None, Parameter(help="A .jsonl file, which appears when it is whole. Default: standard output.")
]
FormatName = Annotated[
    Format | None,
    Parameter(name="--format", help="Of the input. Default: as its name says; of standard input, txt."),
]
Column = Annotated[
    str | None,
    Parameter(help="Column or key of the text, or of the words. Default: as in the files of the task."),
]
SecondColumn = Annotated[str | None, Parameter(help="That of the second text, of models that read pairs.")]
Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]


def predict(
    folder: Folder,
    input: Input = None,
    /,
    *,
    output: Output = None,
    format: FormatName = None,
    text: Column = None,
    text_pair: SecondColumn = None,
    threads: Annotated[Count, Parameter(help="For the products of one batch.")] = 1,
    workers: Annotated[Count, Parameter(help="Batches that are computed at the same time.")] = 1,
    batch_size: Annotated[Count, Parameter(help="Texts in a batch, at most.")] = 32,
) -> None:
    """Ask an exported model: a line of json for each text, in their order. Needs no torch."""
    from bertling.inference.answers import as_json
    from bertling.inference.inputs import read_texts
    from bertling.inference.predictor import Predictor

    if input is None and sys.stdin.isatty():
        raise DataError("there is no input: name a file, or send texts to standard input, a text a line")
    predictor = Predictor(folder, threads=threads, workers=workers, batch_size=batch_size)
    texts = read_texts(
        input or sys.stdin.buffer, predictor.manifest, format=format, text=text, text_pair=text_pair
    )
    answers = (f"{json.dumps(as_json(answer), ensure_ascii=False)}\n" for answer in predictor.stream(texts))
    if output is not None and not output.parent.is_dir():
        raise DataError(f"there is no folder {output.parent.absolute()} to write {output.name} into")
    if output is None:
        _print(answers)
        return
    with whole_file(output) as partial, partial.open("w", encoding="utf-8") as stream:
        stream.writelines(answers)


def _print(lines: Iterable[str]) -> None:
    try:
        sys.stdout.writelines(lines)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough. What is left in the buffer has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
