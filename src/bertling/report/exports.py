"""Exports of a run's student as the page shows them: each precision against PyTorch and the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bertling.report import numbers
from bertling.results import Results
from bertling.results_of_exports import Export, ExportedModel, ExportedPrecision


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A line of the table; ``note`` says of which model, where it is not the student as it was trained."""

    precision: str
    note: str
    megabytes: str
    smaller: str
    score: str
    in_pytorch: str
    agreement: str
    difference: str


@dataclass(frozen=True, slots=True)
class ExportsView:
    """The table, and on what it was measured."""

    rows: list[ExportRow]
    note: str


def view_exports(exports: Mapping[ExportedModel, Export], results: Results) -> ExportsView | None:
    """Word the figures; None where there are none, or none by the metric of the run."""
    shown = {model: export for model, export in exports.items() if export.metric == results.student.metric}
    teacher_bytes = results.teacher.size_bytes if results.teacher else None
    rows = [
        _row(model, export, row, teacher_bytes)
        for model, export in shown.items()
        for row in export.precisions
    ]
    if not rows:
        return None
    counts = dict.fromkeys(numbers.count(export.examples, "example") for export in shown.values())
    return ExportsView(
        rows,
        f"Each was asked {' or '.join(counts)}, from the text on, and compared with the same model in "
        "PyTorch, float32. Size: the weight file. Smaller: than the teacher's weights.",
    )


def _row(
    model: ExportedModel, export: Export, row: ExportedPrecision, teacher_bytes: int | None
) -> ExportRow:
    smaller = teacher_bytes / row.size_bytes if teacher_bytes and row.size_bytes else None
    return ExportRow(
        precision=row.precision,
        note="" if model == "student" else model,
        megabytes=numbers.megabytes(row.size_bytes),
        smaller=numbers.ratio(smaller),
        score=numbers.score(row.score),
        in_pytorch=numbers.score(export.score),
        agreement=numbers.percent(row.label_agreement),
        difference=numbers.significant(row.largest_logit_difference),
    )
