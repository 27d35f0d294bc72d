"""Batches padded to their longest member; blocks that hold several texts keep them apart.

B batch, T tokens, N texts in packed blocks, L tokens of the longest of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bertling.data.examples import UNLABELLED
from bertling.data.tokenization import TokenRows
from bertling.errors import DataError


class PadToLongest:
    """Collates examples into tensors.

    ``input_ids``, ``attention_mask`` and, where the examples have them, ``token_type_ids`` are (B, T) int64;
    ``example_weight`` is (B,); ``labels`` are (B,), or (B, T) where each token has one, -100 for padding, or
    (B, C) floats, 0 or 1 for each of several labels, or (B, 2), first and last token of answers.

    Packed blocks (`TokenizedTexts` with ``blocks``) also bring ``piece_ids`` (B, T), the text that each token
    belongs to, counted from 1 in each block, 0 for padding; ``position_ids`` (B, T), counted from 0 in each
    text; and ``piece_tokens`` (N, L), where each text's tokens lie in the flattened batch, -1 for padding.
    ``example_weight`` is then (N,), and labels of tokens are (N, L): an example is a text, not a block.

    Pairs whose texts are encoded apart (``text_lengths``) give a row for each text, those of a pair one below
    the other, and ``example_weight`` has a value for each of them; ``labels`` are those of the pairs.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.pad_token_id is None:
            raise DataError(f"{type(tokenizer).__name__} has no padding token; set tokenizer.pad_token")
        self._padding = {"input_ids": int(tokenizer.pad_token_id), "token_type_ids": 0}

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        texts = [example.get("text_lengths", [len(example["input_ids"])]) for example in examples]
        lengths = np.concatenate(texts)
        real = np.arange(lengths.max()) < lengths[:, None]
        batch = {"attention_mask": torch.from_numpy(real.astype(np.int64))}
        for name, padding in self._padding.items():
            if name in examples[0]:
                padded = np.full(real.shape, padding, dtype=np.int64)
                padded[real] = np.concatenate([example[name] for example in examples])
                batch[name] = torch.from_numpy(padded)
        if "labels" in examples[0]:
            batch["labels"] = _labels([example["labels"] for example in examples], real)
        if "span" in examples[0]:
            batch["labels"] = torch.from_numpy(np.stack([example["span"] for example in examples]))
        if "piece_lengths" in examples[0]:
            batch |= _pieces(examples, real)
            if "labels" in batch:
                where = batch["piece_tokens"]
                batch["labels"] = (
                    batch["labels"].flatten()[where.clamp(min=0)].masked_fill(where < 0, UNLABELLED)
                )
        if "example_weight" in examples[0]:
            weights = [example["example_weight"] for example in examples]
            counts = [
                len(example.get("piece_lengths", own)) for example, own in zip(examples, texts, strict=True)
            ]
            weights = np.repeat(weights, counts).tolist()
            batch["example_weight"] = torch.tensor(weights)
        return batch


def _labels(labels: Sequence[Any], real: npt.NDArray[np.bool_]) -> Tensor:
    """One label for each example, (B,), or several, (B, C); or one for each of its tokens, (B, T)."""
    if np.ndim(labels[0]) == 0 or np.issubdtype(np.asarray(labels[0]).dtype, np.floating):
        return torch.from_numpy(np.asarray(labels))
    padded = np.full(real.shape, UNLABELLED, dtype=np.int64)
    padded[real] = np.concatenate(labels)
    return torch.from_numpy(padded)


def _pieces(examples: Sequence[Mapping[str, Any]], real: npt.NDArray[np.bool_]) -> dict[str, Tensor]:
    """Which text each token belongs to, where it stands in it, and where each text lies in the batch."""
    piece_ids = np.zeros(real.shape, dtype=np.int64)
    position_ids = np.zeros(real.shape, dtype=np.int64)
    spans: list[npt.NDArray[np.int64]] = []
    for row, example in enumerate(examples):
        start = 0
        for number, length in enumerate(example["piece_lengths"], start=1):
            span = np.arange(length)
            piece_ids[row, start : start + length] = number
            position_ids[row, start : start + length] = span
            spans.append(row * real.shape[1] + start + span)
            start += length
    piece_tokens = np.full((len(spans), max(map(len, spans))), -1, dtype=np.int64)
    for row, span in enumerate(spans):
        piece_tokens[row, : len(span)] = span
    arrays = {"piece_ids": piece_ids, "position_ids": position_ids, "piece_tokens": piece_tokens}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def calibration_batches(
    texts: TokenRows, tokenizer: PreTrainedTokenizerBase, *, count: int = 512, batch_size: int = 32
) -> list[dict[str, Tensor]]:
    """Unlabelled batches to measure importance and fit projections on; the same ones every time.

    Args:
        texts: to take from, evenly over all of them, since files are often in some order.
        tokenizer: for padding.
        count: how many texts; all of them if there are fewer.
        batch_size: texts in a batch; a batch holds texts of like length. Of a packed block its first text
            is taken, of a pair whose texts are encoded apart both.
    """
    collate = PadToLongest(tokenizer)
    count = min(count, len(texts))
    chosen = [_first_piece(texts[position * len(texts) // count]) for position in range(count)]
    chosen.sort(key=lambda item: len(item["input_ids"]))
    return [collate(chosen[start : start + batch_size]) for start in range(0, count, batch_size)]


def _first_piece(item: Mapping[str, Any]) -> dict[str, Any]:
    length = item["piece_lengths"][0] if "piece_lengths" in item else len(item["input_ids"])
    first = {name: item[name][:length] for name in ("input_ids", "token_type_ids") if name in item}
    return first | {name: item[name] for name in ("text_lengths",) if name in item}
