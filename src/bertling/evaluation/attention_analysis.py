"""The heads of teacher and student on the same texts, side by side: Clark et al. 2019 (arXiv:1906.04341).

B batch, N heads of all layers of a model, T tokens, C classes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.collation import PadToLongest
from bertling.data.tokenization import TokenRows
from bertling.evaluation.attention_figures import (
    HeadSums,
    SortedTokens,
    TokenSorter,
    small_batches,
    uniform_weights,
)
from bertling.evaluation.head_map import HeadDivergences, Matrix, map_heads
from bertling.models.attention_weights import AttentionWeights, attention_weights
from bertling.results_of_attention import (
    AnalysedRole,
    AttendedText,
    AttentionFigures,
    HeadFigures,
    ModelAttention,
)

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B,) losses from logits, the mask of real tokens (B, T), and labels"""

_COMPARED_PAIRS = 2**17  # of tokens, on which each two heads are compared
_BATCH = 32
_SHOWN = 4
_SHOWN_TOKENS = 20  # texts of about this length are shown
_SHOWN_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class AttentionAnalysis:
    """What `analyse_attention` finds; the fields are those of `AttentionResults`."""

    tokens: int
    uniform: AttentionFigures
    models: dict[AnalysedRole, ModelAttention]
    map_explained: float
    examples: list[AttendedText]


def analyse_attention(
    models: Mapping[AnalysedRole, PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    texts: TokenRows,
    *,
    loss: Loss,
) -> AttentionAnalysis:
    """Figures of every head, a map of all of them, and a few texts with their attention.

    Memory does not grow with the number of texts: they run in small batches, and sums are kept.

    Args:
        models: with heads, and of one vocabulary; they run in eval mode, and their modes stay.
        tokenizer: of all of them.
        texts: labelled, at least one.
        loss: whose gradient by the attention tells its importance.

    Raises:
        ModelError: a model that shows no attention.
    """
    sort = TokenSorter(tokenizer)
    sums: dict[AnalysedRole, HeadSums] = {role: HeadSums() for role in models}
    uniform = HeadSums()
    pairs = int(np.square(texts.lengths.astype(np.int64)).sum())
    divergences = HeadDivergences(share=min(1.0, _COMPARED_PAIRS / pairs))
    shapes: dict[AnalysedRole, tuple[int, int]] = {}
    for batch in _batches(texts, tokenizer):
        labels = batch.pop("labels")
        tokens = sort(batch["input_ids"], batch["attention_mask"])
        everyone = []
        for role, model in models.items():
            shown = attention_weights(model, batch)
            weights = torch.cat(shown.layers, dim=1)
            sums[role].add(weights, tokens)
            sums[role].add_gradient(_gradient(shown, tokens, labels, loss), tokens)
            shapes[role] = (len(shown.layers), shown.layers[0].shape[1])
            everyone.append(weights.detach())
        divergences.add(torch.cat(everyone, dim=1), tokens.mask)
        uniform.add(uniform_weights(tokens.mask), tokens)
    apart = divergences.means()
    points, explained = map_heads(apart)
    heads_in_all = sum(layers * heads for layers, heads in shapes.values())
    return AttentionAnalysis(
        tokens=int(texts.lengths.sum()),
        uniform=AttentionFigures.model_validate(_of_head(uniform.means(), 0)),
        models=_models(sums, shapes, points, apart),
        map_explained=explained,
        examples=_examples(models, tokenizer, texts, heads=heads_in_all),
    )


def _gradient(shown: AttentionWeights, tokens: SortedTokens, labels: Tensor, loss: Loss) -> Tensor:
    """(B, N, T, T), dL/dA of the sum of the examples' losses: each depends on its own attention alone."""
    assert shown.logits is not None
    total = loss(shown.logits, tokens.mask, labels).sum()
    return torch.cat(torch.autograd.grad(total, shown.layers), dim=1)


def _batches(texts: TokenRows, tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, Tensor]]:
    """All texts, those of like length together."""
    collate = PadToLongest(tokenizer)
    order = np.argsort(texts.lengths, kind="stable").tolist()
    chunks = (order[start : start + _BATCH] for start in range(0, len(order), _BATCH))
    return small_batches(collate([texts[index] for index in chunk]) for chunk in chunks)


def _of_head(means: Mapping[str, Tensor], head: int) -> dict[str, float | None]:
    """A head's figures by the names of the results; None for those of kinds that never came."""
    figures = AttentionFigures.model_fields
    found: dict[str, float | None] = {name: float(values[head]) for name, values in means.items()}
    return {**{name: None for name in figures if name not in found}, **found}


def _models(
    sums: Mapping[AnalysedRole, HeadSums],
    shapes: Mapping[AnalysedRole, tuple[int, int]],
    points: Matrix,
    apart: Matrix,
) -> dict[AnalysedRole, ModelAttention]:
    """The heads of all models lie one behind the other in ``points`` and ``apart``."""
    starts, total = {}, 0
    for role, (layers, heads) in shapes.items():
        starts[role] = total
        total += layers * heads
    found: dict[AnalysedRole, ModelAttention] = {}
    for role, (layers, heads) in shapes.items():
        means = sums[role].means()
        figures = []
        for index in range(layers * heads):
            values: dict[str, object] = {**_of_head(means, index)}
            place = starts[role] + index
            if role == "student" and "teacher" in shapes:
                teacher_layers, teacher_heads = shapes["teacher"]
                first = starts["teacher"]
                distances = apart[place, first : first + teacher_layers * teacher_heads]
                nearest = int(distances.argmin())
                values["nearest"] = (nearest // teacher_heads + 1, nearest % teacher_heads + 1)
                values["nearest_nats"] = float(distances[nearest])
            values |= {"layer": index // heads + 1, "head": index % heads + 1}
            values["place"] = (float(points[place, 0]), float(points[place, 1]))
            figures.append(HeadFigures.model_validate(values))
        found[role] = ModelAttention(layers=layers, heads=heads, figures=figures)
    return found


@torch.no_grad()
def _examples(
    models: Mapping[AnalysedRole, PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    texts: TokenRows,
    *,
    heads: int,
) -> list[AttendedText]:
    """A few texts of readable length with all of their attention, in so many bytes at most."""
    collate = PadToLongest(tokenizer)
    found: list[AttendedText] = []
    room = _SHOWN_BYTES
    for index in np.argsort(np.abs(texts.lengths - _SHOWN_TOKENS), kind="stable").tolist():
        room -= heads * int(texts.lengths[index]) ** 2
        if len(found) == _SHOWN or room < 0:
            break
        batch = collate([texts[index]])
        inputs = {name: values for name, values in batch.items() if name != "labels"}
        ids = batch["input_ids"][0].tolist()
        weights: dict[AnalysedRole, str] = {}
        for role, model in models.items():
            shown = torch.stack(attention_weights(model, inputs).layers)[:, 0]
            scaled = (255 * shown).round().to(torch.uint8)
            weights[role] = base64.b64encode(scaled.numpy().tobytes()).decode("ascii")
        found.append(AttendedText(tokens=_spelled(tokenizer, ids), weights=weights))
    return found


def _spelled(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Each token as a reader knows it; one that is no more than a part of a character, as it stands."""
    pieces = tokenizer.convert_ids_to_tokens(list(ids))
    texts = [str(tokenizer.decode([token_id])) for token_id in ids]
    return [
        text.strip() if text.strip() and "\ufffd" not in text else piece
        for text, piece in zip(texts, pieces, strict=True)
    ]
