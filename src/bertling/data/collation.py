"""Batches padded to their longest member.

B batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bertling.data.tokenization import TokenizedTexts
from bertling.errors import DataError


class PadToLongest:
    """Collates examples into tensors.

    ``input_ids``, ``attention_mask`` and, where the examples have them, ``token_type_ids`` are (B, T) int64;
    ``labels`` and ``example_weight`` are (B,).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.pad_token_id is None:
            raise DataError(f"{type(tokenizer).__name__} has no padding token; set tokenizer.pad_token")
        self._padding = {"input_ids": int(tokenizer.pad_token_id), "token_type_ids": 0}

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        lengths = np.asarray([len(example["input_ids"]) for example in examples])
        real = np.arange(lengths.max()) < lengths[:, None]
        batch = {"attention_mask": torch.from_numpy(real.astype(np.int64))}
        for name, padding in self._padding.items():
            if name in examples[0]:
                padded = np.full(real.shape, padding, dtype=np.int64)
                padded[real] = np.concatenate([example[name] for example in examples])
                batch[name] = torch.from_numpy(padded)
        if "labels" in examples[0]:
            batch["labels"] = torch.from_numpy(np.asarray([example["labels"] for example in examples]))
        if "example_weight" in examples[0]:
            batch["example_weight"] = torch.tensor([example["example_weight"] for example in examples])
        return batch


def calibration_batches(
    texts: TokenizedTexts, tokenizer: PreTrainedTokenizerBase, *, count: int = 512, batch_size: int = 32
) -> list[dict[str, Tensor]]:
    """Unlabelled batches to measure importance and fit projections on; the same ones every time.

    Args:
        texts: to take from, evenly over all of them, since files are often in some order.
        tokenizer: for padding.
        count: how many texts; all of them if there are fewer.
        batch_size: texts in a batch; a batch holds texts of like length.
    """
    collate = PadToLongest(tokenizer)
    count = min(count, len(texts))
    chosen = [position * len(texts) // count for position in range(count)]
    chosen.sort(key=lambda index: int(texts.lengths[index]))
    batches = [
        collate([texts[index] for index in chosen[start : start + batch_size]])
        for start in range(0, count, batch_size)
    ]
    return [{name: value for name, value in batch.items() if name != "labels"} for batch in batches]
