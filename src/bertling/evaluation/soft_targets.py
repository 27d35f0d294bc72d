"""Predictions that no single model made: probabilities as logits, several teachers' averaged.

N examples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from bertling.errors import ShapeError

LEAST = 1e-30
"""what a probability of 0 is taken as: its logarithm is finite, and tiny it stays up to a temperature of 5"""


def as_logits(
    likely: npt.NDArray[np.floating], *, regression: bool = False, multi_label: bool = False
) -> npt.NDArray[np.float32]:
    """Logits whose probabilities are these: their logarithms; of several labels, log p - log (1 - p).

    At a temperature t a loss then compares with ``p^(1/t)``, normalised.

    Args:
        likely: (N, C) probabilities; of a regression numbers, which stay as they are.
        regression: the values are no probabilities.
        multi_label: each label has a probability of its own.
    """
    if regression:
        return likely.astype(np.float32)
    logs = np.log(np.maximum(likely, LEAST))
    if multi_label:
        logs -= np.log(np.maximum(1.0 - likely, LEAST))
    made: npt.NDArray[np.float32] = logs.astype(np.float32)
    return made


def averaged(
    logits: Sequence[npt.NDArray[np.float32]],
    weights: Sequence[float],
    *,
    regression: bool = False,
    multi_label: bool = False,
) -> npt.NDArray[np.float32]:
    """Several teachers' predictions as those of one: the weighted mean of their probabilities, as logits.

    Probabilities and not logits: a softmax leaves a text's logits open up to a constant, and how large they
    are differs from model to model, so that a mean of logits weighs the one with the largest most. Of a
    regression the outputs are averaged. A single teacher's logits are returned as they are.

    Args:
        logits: of each teacher, (N, C) or, for a regression, (N, 1), in the same order of classes.
        weights: of each, above 0; only their ratios matter.
        regression: the outputs are numbers.
        multi_label: each label has a probability of its own.

    Returns:
        (N, C).

    Raises:
        ShapeError: no teacher, other shapes, or weights that are not above 0.
    """
    if not logits or len(weights) != len(logits) or not all(weight > 0 for weight in weights):
        raise ShapeError(
            f"got {len(logits)} teachers and the weights {list(weights)}: expected a weight above 0 for each"
        )
    if len({values.shape for values in logits}) > 1:
        raise ShapeError(
            f"the teachers' predictions have the shapes {[values.shape for values in logits]}: expected one"
        )
    if len(logits) == 1:
        return logits[0]
    said = np.stack(logits).astype(np.float64)
    if not regression:
        said = expit(said) if multi_label else softmax(said, axis=-1)
    mean = np.average(said, axis=0, weights=weights)
    return as_logits(mean, regression=regression, multi_label=multi_label)
