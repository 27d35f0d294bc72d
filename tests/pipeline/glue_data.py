"""GLUE in its own layout, made up: w0 in the first text is one class and w1 another."""

from __future__ import annotations

import random
from pathlib import Path

from tests import tiny

from bertling.tasks import GLUE, GLUE_LAYOUTS, Submission


def write_model(
    folder: Path, *, names: list[str] | None = None, seed: int = 0, outputs: int | None = None
) -> str:
    """A classifier whose outputs have these names, or a regressor; and its tokenizer."""
    model = tiny.classifier(seed=seed, num_labels=outputs or (len(names) if names else 1))
    if names:
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: index for index, name in enumerate(names)}
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return str(folder)


def write_labelled(root: Path, task: str, *, train: int = 32, dev: int = 16) -> Path:
    """The task's folder below ``root``, with its training and development files."""
    layout = GLUE_LAYOUTS[task]
    folder = root / layout.folder
    folder.mkdir(parents=True)
    files = {layout.train: train, layout.dev: dev, **dict.fromkeys(layout.further_devs.values(), dev)}
    for seed, (file, rows) in enumerate(files.items()):
        (folder / file).write_text(_labelled(task, rows, seed=seed), encoding="utf-8")
    return folder


def _labelled(task: str, rows: int, *, seed: int) -> str:
    known, layout = GLUE[task], GLUE_LAYOUTS[task]
    chance = random.Random(seed)
    raws = list(known.labels or {"0.0": "", "5.0": ""})
    columns = list(layout.header or filter(None, ("index", known.text, known.text_pair, known.label)))
    lines = [] if layout.header else ["\t".join(columns)]
    for row in range(rows):
        raw = raws[row % len(raws)]
        values = dict.fromkeys(columns, "-") | {known.label: raw}
        values[known.text] = f"w{raws.index(raw)} w{chance.randrange(3, 98)}"
        if known.text_pair:
            values[known.text_pair] = f'"w{chance.randrange(3, 98)}'
        lines.append("\t".join(values[column] for column in columns))
    return "\n".join(lines) + "\n"


def write_test(root: Path, submission: Submission, *, rows: int | None = None) -> None:
    """A test file with as many rows as GLUE's own, or other; the texts differ."""
    task = GLUE[submission.task]
    path = root / submission.source
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(filter(None, (task.text, task.text_pair)))
    lines = ["\t".join(["index", *columns])]
    for row in range(submission.rows if rows is None else rows):
        texts = [f"w{row % 98} w{row // 98 % 98} w{side}" for side, _ in enumerate(columns)]
        lines.append("\t".join([str(row), *texts]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
