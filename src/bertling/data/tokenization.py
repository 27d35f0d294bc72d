"""Texts as token ids, in flat arrays that can be mapped from disk.

N examples, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from bertling.errors import DataError

_CHUNK_TEXTS = 1000


class TokenizedTexts(Dataset[dict[str, Any]]):
    """Token ids of N texts, each as long as it is: one flat array and where each text starts.

    Attributes:
        lengths: (N,) tokens of each text.
        labels: (N,) int64 class ids, float32 numbers, or None.
        truncated: how many texts were cut to the length limit.
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int64],
        *,
        segments: npt.NDArray[np.uint8] | None = None,
        labels: npt.NDArray[Any] | None = None,
        truncated: int = 0,
    ) -> None:
        self._tokens = tokens
        self._starts = starts
        self._segments = segments
        self.labels = labels
        self.truncated = truncated
        self.lengths = np.diff(starts)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input_ids`` (T,) and, where there are any, ``token_type_ids`` (T,) and ``labels``."""
        span = slice(self._starts[index], self._starts[index + 1])
        item: dict[str, Any] = {"input_ids": self._tokens[span]}
        if self._segments is not None:
            item["token_type_ids"] = self._segments[span]
        if self.labels is not None:
            item["labels"] = self.labels[index]
        return item

    def save(self, folder: Path) -> None:
        """Write unlabelled texts as arrays that `load` maps."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "tokens.npy", self._tokens)
        np.save(folder / "starts.npy", self._starts)

    @classmethod
    def load(cls, folder: Path) -> TokenizedTexts:
        """Map what `save` wrote; memory does not grow with it."""
        return cls(np.load(folder / "tokens.npy", mmap_mode="r"), np.load(folder / "starts.npy"))


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    labels: Sequence[int] | Sequence[float] | None = None,
    max_length_tokens: int = 128,
) -> TokenizedTexts:
    """Tokenise labelled or unlabelled texts; longer ones are cut, pairs at the longer of the two.

    Args:
        tokenizer: a fast tokenizer.
        texts: N texts.
        pairs: N second texts, or None.
        labels: N class ids (int) or numbers (float), or None.
        max_length_tokens: special tokens included.

    Raises:
        DataError: there is no text, the numbers of texts, pairs and labels differ, or the limit is too low.
    """
    if not texts:
        raise DataError("there are no texts to tokenise; expected at least one")
    for what, other in (("second texts", pairs), ("labels", labels)):
        if other is not None and len(other) != len(texts):
            raise DataError(f"{len(texts)} texts but {len(other)} {what}; expected as many of each")
    _special_tokens(tokenizer, max_length_tokens, pair=pairs is not None)
    segmented = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    ids: list[npt.NDArray[np.int32]] = []
    segments: list[npt.NDArray[np.uint8]] = []
    lengths: list[int] = []
    truncated = 0
    for start in range(0, len(texts), _CHUNK_TEXTS):
        part = slice(start, start + _CHUNK_TEXTS)
        encoded = tokenizer(
            list(texts[part]),
            list(pairs[part]) if pairs is not None else None,
            truncation=True,
            max_length=max_length_tokens,
            return_token_type_ids=segmented,
            return_attention_mask=False,
        )
        lengths += [len(row) for row in encoded["input_ids"]]
        ids += [np.asarray(row, dtype=np.int32) for row in encoded["input_ids"]]
        if segmented:
            segments += [np.asarray(row, dtype=np.uint8) for row in encoded["token_type_ids"]]
        truncated += sum(bool(encoding.overflowing) for encoding in encoded.encodings)
    integral = labels is not None and all(isinstance(label, int | np.integer) for label in labels)
    return TokenizedTexts(
        np.concatenate(ids),
        _starts(lengths),
        segments=np.concatenate(segments) if segmented else None,
        labels=None if labels is None else np.asarray(labels, dtype=np.int64 if integral else np.float32),
        truncated=truncated,
    )


def tokenize_corpus(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], *, max_length_tokens: int = 128
) -> TokenizedTexts:
    """Tokenise unlabelled texts; one longer than the limit gives several blocks, none is cut.

    Raises:
        DataError: there is no text, or the limit is too low.
    """
    specials = _special_tokens(tokenizer, max_length_tokens, pair=False)
    blocks: list[npt.NDArray[np.int32]] = []
    source = iter(texts)
    while chunk := list(islice(source, _CHUNK_TEXTS)):
        encoded = tokenizer(
            chunk,
            truncation=True,
            max_length=max_length_tokens,
            return_overflowing_tokens=True,
            return_token_type_ids=False,
            return_attention_mask=False,
        )
        blocks += [np.asarray(row, dtype=np.int32) for row in encoded["input_ids"] if len(row) > specials]
    if not blocks:
        raise DataError("the corpus holds no text; expected at least one non-empty line")
    return TokenizedTexts(np.concatenate(blocks), _starts([len(block) for block in blocks]))


def _special_tokens(tokenizer: PreTrainedTokenizerBase, max_length_tokens: int, *, pair: bool) -> int:
    """How many special tokens a text or pair gets; tokenizers do not cut where they leave no room."""
    specials: int = tokenizer.num_special_tokens_to_add(pair=pair)
    if max_length_tokens <= specials:
        raise DataError(
            f"max_length_tokens {max_length_tokens} leaves no room beside {specials} special tokens; "
            f"expected at least {specials + 1}"
        )
    return specials


def _starts(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
