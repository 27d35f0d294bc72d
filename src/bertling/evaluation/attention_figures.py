"""What attention heads look at: the figures of Clark et al. 2019 (arXiv:1906.04341), section 3.

They are means over real tokens, each of which counts once; padding never counts. Attention to [SEP], say, is
the share of its attention that a token gives to all separators of its text.

B batch, N heads (of one layer or of several), T tokens.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.errors import ModelError
from bertling.models.attention_weights import attention_weights

Kind = Literal["sep", "cls", "punctuation", "other"]
KINDS: tuple[Kind, ...] = ("sep", "cls", "punctuation", "other")

_PAIRS = 2**16
"""pairs of tokens in a batch, at most: each takes a number for each head of each layer, and its gradient"""


@dataclass(frozen=True, slots=True)
class SortedTokens:
    """The tokens of a batch by their kinds.

    Attributes:
        mask: (B, T) bool, True for real tokens.
        kinds: kind -> (B, T) bool; without one that the tokenizer does not have.
    """

    mask: Tensor
    kinds: Mapping[Kind, Tensor]


class TokenSorter:
    """Tells kinds of tokens apart, by what the tokenizer says of them.

    ``sep`` and ``cls`` are its special tokens of that name, such as RoBERTa's ``</s>`` and ``<s>``. A token
    is ``punctuation`` if it is made of punctuation marks alone, those of Unicode and all that are in ASCII.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._special = set(tokenizer.all_special_ids)
        self._punctuation: dict[int, bool] = {}

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> SortedTokens:
        """Sort a batch, each (B, T)."""
        mask = attention_mask.bool()
        kinds: dict[Kind, Tensor] = {}
        names: tuple[tuple[Kind, int | None], ...] = (
            ("sep", self._tokenizer.sep_token_id),
            ("cls", self._tokenizer.cls_token_id),
        )
        for kind, token_id in names:
            if token_id is not None:
                kinds[kind] = mask & (input_ids == token_id)
        marks = [token_id for token_id in input_ids[mask].unique().tolist() if self._is_mark(token_id)]
        kinds["punctuation"] = mask & torch.isin(input_ids, torch.tensor(marks, device=input_ids.device))
        others = mask.clone()
        for found in kinds.values():
            others &= ~found
        kinds["other"] = others
        return SortedTokens(mask, kinds)

    def _is_mark(self, token_id: int) -> bool:
        if token_id not in self._punctuation:
            text = str(self._tokenizer.decode([token_id])).strip()
            self._punctuation[token_id] = (
                token_id not in self._special and bool(text) and all(map(_is_punctuation, text))
            )
        return self._punctuation[token_id]


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


class HeadSums:
    """Running sums of every head's figures; memory does not grow with the texts."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, weights: Tensor, tokens: SortedTokens) -> None:
        """Take in attention weights after softmax, (B, N, T, T); what stands at padding is not read."""
        mask = tokens.mask
        weights = _real_pairs_alone(weights, mask)
        for kind in KINDS[:-1]:
            if kind in tokens.kinds:
                given = weights * tokens.kinds[kind][:, None, None, :]
                self._count(f"to_{kind}", given.sum(-1), mask)
        neighbours = mask[:, 1:] & mask[:, :-1]
        self._count("to_previous", weights.diagonal(-1, -2, -1), neighbours)
        self._count("to_next", weights.diagonal(1, -2, -1), neighbours)
        self._count("to_itself", weights.diagonal(0, -2, -1), mask)
        self._count("entropy_nats", torch.special.entr(weights).sum(-1), mask)
        places = torch.arange(mask.shape[1], device=mask.device, dtype=weights.dtype)
        distances = (places[:, None] - places).abs()
        self._count("distance_tokens", (weights * distances).sum(-1), mask)

    def add_gradient(self, gradient: Tensor, tokens: SortedTokens) -> None:
        """Take in dL/dA, (B, N, T, T): the gradient of the examples' summed losses by the weights.

        The figure is the mean of its size over all pairs of a token and one of the kind that it could attend
        to: how much the loss changes with the attention to such tokens (section 3.2). The sizes of single
        entries are taken, since those of sums would cancel.
        """
        sizes = _real_pairs_alone(gradient, tokens.mask).abs()
        for kind, found in tokens.kinds.items():
            pairs = tokens.mask[:, :, None] & found[:, None, :]
            self._count(f"{kind}_gradient", sizes, pairs)

    def means(self) -> dict[str, Tensor]:
        """Figure -> (N,), float64; without those of a kind that never came.

        Raises:
            ModelError: there was no text.
        """
        if not self._counts.get("to_itself"):
            raise ModelError("there are no texts to analyse attention on; give at least one")
        return {name: self._sums[name] / count for name, count in self._counts.items() if count}

    def _count(self, name: str, values: Tensor, counted: Tensor) -> None:
        """Add values, (B, N, ...), where ``counted``, (B, ...), is True."""
        total = values.masked_fill(~counted[:, None], 0.0).flatten(2).sum((0, 2), dtype=torch.float64)
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._counts[name] = self._counts.get(name, 0) + int(counted.sum())


def _real_pairs_alone(values: Tensor, mask: Tensor) -> Tensor:
    pairs = mask[:, None, :, None] & mask[:, None, None, :]
    return values.detach().float().masked_fill(~pairs, 0.0)


def uniform_weights(mask: Tensor) -> Tensor:
    """(B, 1, T, T), the weights of a head that attends to all tokens alike: what its figures would be."""
    shares = mask.float() / mask.sum(1, keepdim=True).clamp(min=1)
    return shares[:, None, None, :].expand(-1, 1, mask.shape[1], -1)


def small_batches(batches: Iterable[Mapping[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """The same texts in batches so small that their attention weights fit into memory."""
    for batch in batches:
        rows, tokens = batch["input_ids"].shape
        size = max(1, _PAIRS // tokens**2)
        for start in range(0, rows, size):
            yield {name: values[start : start + size] for name, values in batch.items()}


@torch.no_grad()
def attention_to_special_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batches: Iterable[Mapping[str, Tensor]]
) -> Tensor:
    """Mean attention of every head to separators and first tokens together, (L, H), 0 to 1.

    Args:
        model: runs in eval mode; its mode stays.
        tokenizer: the model's.
        batches: ``input_ids``, ``attention_mask``, ... each (B, T).

    Raises:
        ModelError: the tokenizer has neither token, the model shows no attention, or there is no text.
    """
    if tokenizer.sep_token_id is None and tokenizer.cls_token_id is None:
        raise ModelError(
            f"{type(tokenizer).__name__} has neither sep_token nor cls_token, so no attention to them can be "
            "measured"
        )
    sort, sums = TokenSorter(tokenizer), HeadSums()
    layers = 0
    for batch in small_batches(batches):
        placed = {name: values.to(model.device) for name, values in batch.items()}
        shown = attention_weights(model, placed).layers
        layers = len(shown)
        sums.add(torch.cat(shown, dim=1), sort(placed["input_ids"], placed["attention_mask"]))
    means = sums.means()
    shares = [means[name] for name in ("to_sep", "to_cls") if name in means]
    return torch.stack(shares).sum(0).view(layers, -1)
