"""How near a student's layers are to those of the teacher: hidden states and attention, on the same texts.

B batch, T tokens, D_s and D_t widths, L layers, H heads, G groups of heads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from bertling.errors import ModelError
from bertling.evaluation.attention_figures import small_batches, uniform_weights
from bertling.models.attention_weights import attention_weights
from bertling.models.capture import observe
from bertling.objectives.head_groups import head_groups
from bertling.objectives.layer_map import LayerMap
from bertling.objectives.projection import LeastSquares
from bertling.results import LayerCloseness
from bertling.states import EncoderStates

_EMBEDDING = 0
_ROUNDING = 1e-12
"""a spread of less, relative to the sums that it is taken from, is none"""
Batches = Iterable[Mapping[str, Tensor]]


@torch.no_grad()
def layer_closeness(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    layers: LayerMap,
    *,
    fitted_on: Batches,
    measured_on: Batches,
) -> list[LayerCloseness]:
    """The embedding and each mapped layer, in order.

    Hidden states are compared as a linear map of the student's with the teacher's. The map is the one that
    fits best (least squares) on other texts, not the one that training learned: a later stage moves the
    student away from that. Memory does not grow with the number of texts.

    Args:
        student, teacher: of one vocabulary; they are put in eval mode.
        layers: student layer -> teacher layer.
        fitted_on: batches of texts that the map is fitted on: ``input_ids``, ``attention_mask``, ... (B, T).
        measured_on: batches of other texts.

    Raises:
        ModelError: there is no text to measure on.
        ShapeError: there is none to fit on.
    """
    pairs = {_EMBEDDING: _EMBEDDING, **layers}
    student.eval()
    teacher.eval()
    fits = {layer: LeastSquares() for layer in pairs}
    for ours, theirs in _observed(student, teacher, fitted_on):
        for layer, source in pairs.items():
            fits[layer].add(_states(ours, layer), _states(theirs, source))
    maps = {layer: fit.solve() for layer, fit in fits.items()}
    measured = list(measured_on)
    sums = {layer: StateSums() for layer in pairs}
    for ours, theirs in _observed(student, teacher, measured):
        for layer, source in pairs.items():
            states = _states(ours, layer)
            sums[layer].add(states, _states(theirs, source), states @ maps[layer].to(states))
    attention = _attention(student, teacher, layers, measured)
    found = []
    for layer, source in pairs.items():
        heads, uniform = attention.get(layer, ([], None))
        found.append(
            LayerCloseness(
                layer=layer,
                teacher_layer=source,
                cosine=sums[layer].cosine(),
                constant_cosine=sums[layer].constant_cosine(),
                cka=sums[layer].cka(),
                head_nats=heads,
                uniform_nats=uniform,
            )
        )
    return found


class StateSums:
    """Running sums over tokens, from which cosine and CKA follow; float64."""

    def __init__(self) -> None:
        self._tokens = 0
        self._cosines = 0.0
        self._sums: dict[str, Tensor] = {}

    def add(self, student: Tensor, teacher: Tensor, mapped: Tensor) -> None:
        """Take in N tokens: (N, D_s), (N, D_t), and the student's mapped to the teacher's width (N, D_t)."""
        ours, theirs = student.double(), teacher.double()
        self._tokens += len(ours)
        self._cosines += float(functional.cosine_similarity(mapped.double(), theirs).sum())
        for name, value in {
            "ours": ours.sum(0),
            "theirs": theirs.sum(0),
            "directions": functional.normalize(theirs).sum(0),
            "ours_ours": ours.T @ ours,
            "theirs_theirs": theirs.T @ theirs,
            "ours_theirs": ours.T @ theirs,
        }.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def cosine(self) -> float:
        """Mean cosine of the mapped states with the teacher's; raises ModelError if there was no token."""
        self._expect_tokens()
        return self._cosines / self._tokens

    def constant_cosine(self) -> float:
        """That of the teacher's own mean state: states point the same way, so a cosine is never near 0."""
        self._expect_tokens()
        mean = functional.normalize(self._sums["theirs"], dim=0)
        return float(mean @ self._sums["directions"]) / self._tokens

    def cka(self) -> float | None:
        """Linear CKA, 0 to 1 (Kornblith et al. 2019, arXiv:1905.00414, equation 3); None of constant states.

        It asks whether the tokens lie alike among each other, and no linear rotation changes it.
        """
        self._expect_tokens()

        def centred(product: str, left: str, right: str) -> Tensor:
            return self._sums[product] - torch.outer(self._sums[left], self._sums[right]) / self._tokens

        spreads = []
        for side in ("ours", "theirs"):
            spread = centred(f"{side}_{side}", side, side).norm()
            if float(spread) <= _ROUNDING * float(self._sums[f"{side}_{side}"].norm()):
                return None
            spreads.append(spread)
        between = centred("ours_theirs", "ours", "theirs").square().sum()
        return float(between / (spreads[0] * spreads[1]))

    def _expect_tokens(self) -> None:
        if not self._tokens:
            raise ModelError("there are no texts to compare layers on; give at least one")


def summed_divergence(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of attention in nats, summed over the tokens that attend.

    Args:
        first, second: weights after softmax, (B, G, T, T); what stands at padding is not read.
        mask: (B, T), True for real tokens.

    Returns:
        (G,), float64, each 0 to log 2 times the number of real tokens.
    """
    pairs = mask[:, None, :, None] & mask[:, None, None, :]
    ours, theirs = (weights.double().masked_fill(~pairs, 0.0) for weights in (first, second))
    entr = torch.special.entr
    apart: Tensor = entr((ours + theirs) / 2) - (entr(ours) + entr(theirs)) / 2
    return apart.sum((0, 2, 3))


def _attention(
    student: PreTrainedModel, teacher: PreTrainedModel, layers: LayerMap, batches: Batches
) -> dict[int, tuple[list[float], float]]:
    """Student layer -> each group's divergence from the teacher's, and that of uniform attention from it.

    Where head counts differ, the heads of each side are averaged in groups of neighbours, as in the loss.
    """
    totals: dict[int, Tensor] = {}
    uniform: dict[int, float] = {}
    count = 0
    for batch in small_batches(batches):
        mask = batch["attention_mask"].bool()
        count += int(mask.sum())
        ours, theirs = (attention_weights(model, batch).layers for model in (student, teacher))
        for layer, source in layers.items():
            mine, shown = ours[layer - 1], theirs[source - 1]
            groups = head_groups(mine.shape[1], shown.shape[1]).count
            mine, shown = (weights.unflatten(1, (groups, -1)).mean(2) for weights in (mine, shown))
            found = summed_divergence(mine, shown, mask)
            plain = summed_divergence(uniform_weights(mask).expand_as(shown), shown, mask)
            totals[layer] = totals[layer] + found if layer in totals else found
            uniform[layer] = uniform.get(layer, 0.0) + float(plain.mean())
    return {
        layer: ((total / count).clamp(min=0.0).tolist(), uniform[layer] / count)
        for layer, total in totals.items()
    }


def _observed(
    student: PreTrainedModel, teacher: PreTrainedModel, batches: Batches
) -> Iterator[tuple[EncoderStates, EncoderStates]]:
    return ((observe(student, batch), observe(teacher, batch)) for batch in batches)


def _states(shown: EncoderStates, layer: int) -> Tensor:
    """(N, D) of the real tokens."""
    return (shown.embedding if layer == _EMBEDDING else shown.hidden[layer])[shown.mask]
