"""The typed results of what is made of a finished student: exports, trimmed ones. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar, get_args

from pydantic import ValidationError

from bertling.files import digest_of_weights
from bertling.results import Count, Environment, Result
from bertling.tasks import Metric

Precision = Literal["float32", "int8", "bfloat16"]
"""of an export's weights"""
ExportedModel = Literal["student", "trimmed student"]
FIGURES = "export.json"
"""lies beside the weights of each precision"""
TRIMMING = "trimming.json"
"""lies beside a model whose vocabulary was trimmed"""

_Found = TypeVar("_Found", bound=Result)


class ExportedPrecision(Result):
    """A model as it was written in one precision, asked the same examples as the model in PyTorch.

    ``size_bytes`` is the weight file's. ``score`` is a fraction. ``label_agreement`` is the share of equal
    answers, None for a regression.
    """

    precision: Precision
    size_bytes: Count
    score: float
    largest_logit_difference: float
    label_agreement: float | None


class Export(Result):
    """``export.json``: what was exported, and how near it is to the model in PyTorch.

    ``score`` is that of the model in PyTorch, float32, on ``examples`` examples, by the task's ``metric``; no
    precision's score is more than ``max_drop`` below it. ``weights_digest`` is the SHA-256 of a run's
    student, or of its trimmed one, by which a later one is told apart; None for a model without a run.
    """

    task: str
    metric: Metric
    examples: Count
    score: float
    max_drop: float
    max_length_tokens: int
    precisions: list[ExportedPrecision]
    environment: Environment
    weights_digest: str | None = None


class Trimming(Result):
    """``trimming.json``: what became of a model when its vocabulary was trimmed.

    The scores and ``resplit_fraction``, the share of pieces that are no longer there and give way to others,
    are of the run's evaluation set, and ``student_digest`` is the SHA-256 of the student that was trimmed;
    None for a model without a run.
    """

    texts: int
    """that were looked at for the pieces they use"""
    min_count: int
    pieces_before: int
    pieces_after: int
    parameters_before: int
    parameters_after: int
    examples: int | None = None
    resplit_fraction: float | None = None
    metric: Metric | None = None
    score_before: float | None = None
    score_after: float | None = None
    student_digest: str | None = None


def exports_of_run(run: Path) -> dict[ExportedModel, Export]:
    """The exports of a run's student, and of that one trimmed, that lie in the run folder.

    Each has the precisions whose folders are there. Those of another student or version, and files that are
    none, are left out.
    """
    student, trimmed = run / "student", run / "trimmed"
    found: dict[ExportedModel, Export] = {}
    if export := _export_of(student, run / "export"):
        found["student"] = export
    if export := _export_of(trimmed, trimmed / "export"):
        trimming = _read(Trimming, trimmed / TRIMMING)
        if trimming and trimming.student_digest == digest_of_weights(student):
            found["trimmed student"] = export
    return found


def _export_of(model: Path, folder: Path) -> Export | None:
    files = [folder / precision / FIGURES for precision in get_args(Precision)]
    read = {file.parent.name: found for file in files if (found := _read(Export, file))}
    if not read:
        return None
    digest = digest_of_weights(model)
    own = {precision: export for precision, export in read.items() if export.weights_digest == digest}
    # All are written at once, so that any of them speaks for all.
    for export in own.values():
        rows = {row.precision: row for row in export.precisions if row.precision in own}
        return export.model_copy(update={"precisions": list(rows.values())})
    return None


def _read(kind: type[_Found], file: Path) -> _Found | None:
    try:
        return kind.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
