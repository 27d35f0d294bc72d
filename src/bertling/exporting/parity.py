"""Whether an export answers as the model does that it was made of.

N examples, C classes, W words of the longest example.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertling.errors import ExportError
from bertling.results_of_exports import Precision

Logits = npt.NDArray[np.float32]

# Of the largest logit: float32 rounds in another order elsewhere, a thousandth is no rounding.
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class Parity:
    """An export's answers beside the model's.

    Attributes:
        largest_logit_difference: over all examples and outputs.
        largest_logit: of the model.
        label_agreement: share of equal answers: class ids, words' labels, or for several labels single
            decisions; None for a regression.
    """

    largest_logit_difference: float
    largest_logit: float
    label_agreement: float | None


def compare(theirs: Logits, ours: Logits, *, regression: bool, multi_label: bool) -> Parity:
    """Compare an export's logits with the model's.

    Args:
        theirs: the model's, (N, C), or (N, W, C) of words, NaN where there is no answer.
        ours: the export's.
        regression: there are no labels to agree on.
        multi_label: each label is a decision of its own.

    Raises:
        ExportError: another shape, or words without an answer where the model has one.
    """
    answered = np.isfinite(theirs)
    if theirs.shape != ours.shape or (answered != np.isfinite(ours)).any():
        raise ExportError(
            f"the export gives logits of shape {ours.shape}, or answers for other words, where the model "
            f"gives {theirs.shape}: its tokenizer or its graph is not the model's. Report this"
        )
    difference = np.abs(theirs - ours)[answered]
    agreement = None
    if multi_label:
        agreement = float(((theirs > 0) == (ours > 0)).mean())
    elif not regression:
        rows = answered.all(-1)
        agreement = float((theirs.argmax(-1) == ours.argmax(-1))[rows].mean())
    return Parity(float(difference.max()), float(np.abs(theirs[answered]).max()), agreement)


def refuse_broken(precision: Precision, parity: Parity) -> None:
    """Raise an ExportError for a float32 export that computes something else than the model."""
    limit = _ROUNDING * max(1.0, parity.largest_logit)
    if precision == "float32" and parity.largest_logit_difference > limit:
        raise ExportError(
            f"the float32 export is broken: a logit differs from PyTorch's by "
            f"{parity.largest_logit_difference:.3g}, and rounding explains {limit:.3g} at most. Nothing was "
            "written; report this, with the model"
        )


def refuse_fallen(precision: Precision, *, score: float, reference: float, max_drop: float) -> None:
    """Raise an ExportError for an export whose score falls by more than ``max_drop``."""
    drop = reference - score
    if drop > max_drop:
        raise ExportError(
            f"the {precision} export's score is {100 * score:.2f} where PyTorch has {100 * reference:.2f}: "
            f"it falls by {100 * drop:.2f} points, and {100 * max_drop:.2f} are allowed. Nothing was "
            f"written. Leave {precision} out of --precisions, or allow more with --max-drop {drop:.4f}"
        )
