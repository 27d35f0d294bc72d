"""What a model answers, by the kind of its labels, from its logits.

C classes, W words.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertling.inference.manifest import Manifest


@dataclass(frozen=True, slots=True)
class ClassAnswer:
    """One class of a text or pair: the most probable one, and the probability of each."""

    label: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """That of the answer."""
        return self.probabilities[self.label]


@dataclass(frozen=True, slots=True)
class NumberAnswer:
    """What a regression answers."""

    value: float


@dataclass(frozen=True, slots=True)
class LabelsAnswer:
    """The labels of a text whose probability is above a half, there may be none, and that of each."""

    labels: list[str]
    probabilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class WordsAnswer:
    """A label for each word and its probability; None for words behind the cut of a text that is too long."""

    labels: list[str | None]
    probabilities: list[float | None]


Answer = ClassAnswer | NumberAnswer | LabelsAnswer | WordsAnswer


def as_json(answer: Answer) -> dict[str, Any]:
    """An answer as values that json writes."""
    return asdict(answer)


def to_answer(logits: npt.NDArray[np.float32], manifest: Manifest) -> Answer:
    """One example's logits as what they say.

    Args:
        logits: (C,), or (W, C) of words, NaN for those that were cut off.
        manifest: kind and labels.
    """
    if manifest.kind == "regression":
        return NumberAnswer(float(logits[0]))
    if manifest.kind == "multi_label":
        # tanh does not overflow.
        each = (0.5 * (1 + np.tanh(logits.astype(np.float64) / 2))).tolist()
        chosen = [label for label, logit in zip(manifest.labels, logits, strict=True) if logit > 0]
        return LabelsAnswer(chosen, dict(zip(manifest.labels, each, strict=True)))
    shares = _softmax(logits.astype(np.float64))
    if manifest.kind == "words":
        best = [None if np.isnan(row[0]) else int(row.argmax()) for row in logits]
        return WordsAnswer(
            [None if index is None else manifest.labels[index] for index in best],
            [None if index is None else float(row[index]) for index, row in zip(best, shares, strict=True)],
        )
    label = manifest.labels[int(logits.argmax())]
    return ClassAnswer(label, dict(zip(manifest.labels, shares.tolist(), strict=True)))


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    shares: npt.NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return shares
