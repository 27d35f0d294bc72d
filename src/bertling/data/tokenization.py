"""Texts as token ids, in flat arrays that can be mapped from disk.

N rows, P pieces of text, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from bertling.data.pieces import (
    Ids,
    chunks,
    cut,
    flat,
    id_dtype,
    joined,
    row_lengths,
    save_pieces,
    special_tokens,
    starts_of,
)
from bertling.errors import DataError


class TokenRows(Dataset[dict[str, Any]]):
    """Rows of token ids, each as long as it is: what training reads.

    A row has ``input_ids`` (T,) and, where there are any, ``token_type_ids`` (T,) and ``labels``: one, one of
    each token, or 0 and 1 for several labels. A packed row is a block of P pieces, each with its own special
    tokens, and has their ``piece_lengths`` (P,) int64.

    Attributes:
        lengths: (N,) int32 tokens of each row.
        labels: (N,) int64 class ids, float32 numbers, (N, C) float32 0 or 1, or None.
        truncated: how many texts were cut to the length limit.
        packed: whether a row is a block of several pieces.
        segmented: whether rows have ``token_type_ids``.
        apart: whether a row holds both texts of a pair, one behind the other, each with its own special
            tokens, to be encoded by itself. It then has ``text_lengths`` (2,).
        word_counts: (N,) words of each row, those that were cut off included, where words have labels; else
            None. A row then has ``labels`` (T,), -100 where no word begins, and ``word_starts`` (T,), the
            word from 0 that begins at a token, or -1.
        owners: (N,) the question, from 0, that each row asks, where rows are windows of contexts; else None.
            A row then has ``span`` and ``characters``, as `TokenWindows` says.
    """

    lengths: npt.NDArray[np.int32]
    labels: npt.NDArray[Any] | None
    truncated: int
    packed: bool
    segmented: bool
    apart: bool = False
    word_counts: npt.NDArray[np.int64] | None = None
    owners: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)} rows, counted from 0")


@dataclass(frozen=True, slots=True)
class TokenWords:
    """Which words tokens begin, in the flat order of all R tokens.

    Attributes:
        starts: (R,) the word, from 0 in each text, that begins at a token, or -1.
        labels: (R,) class ids where a word begins, else -100; None if unlabelled.
        counts: (N,) words of each text, those that were cut off included.
    """

    starts: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int64] | None
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenWindows:
    """Which part of its context each row shows beside its question.

    Attributes:
        owners: (N,) the question, from 0, of each row.
        characters: (R, 2) where each token of a context begins and ends there, -1 for other tokens; in the
            flat order of all R tokens.
        spans: (N, 2) first and last token of the answer in each row, 0 and 0 for none; None if unlabelled.
    """

    owners: npt.NDArray[np.int64]
    characters: npt.NDArray[np.int32]
    spans: npt.NDArray[np.int64] | None


class TokenizedTexts(TokenRows):
    """Token ids of texts in one flat array.

    Args:
        tokens: the ids of all pieces, one piece after the other.
        starts: (P+1,) where each piece starts in ``tokens``.
        blocks: (N+1,) where each block starts among the pieces; None if a row is a single piece.
        apart: the blocks are pairs of texts that are encoded apart.
        segments: segment of each token, or None.
        labels: (N,), (N, C), or None.
        truncated: how many texts were cut to the length limit.
        words: of texts whose words have labels.
        windows: of contexts, beside questions.
    """

    def __init__(
        self,
        tokens: Ids,
        starts: npt.NDArray[np.int64],
        *,
        blocks: npt.NDArray[np.int64] | None = None,
        apart: bool = False,
        segments: npt.NDArray[np.uint8] | None = None,
        labels: npt.NDArray[Any] | None = None,
        truncated: int = 0,
        words: TokenWords | None = None,
        windows: TokenWindows | None = None,
    ) -> None:
        # Plain views: to slice a np.memmap takes several times as long.
        self._tokens: npt.NDArray[Any] = np.asarray(tokens)
        self._starts = np.asarray(starts)
        self._blocks = None if blocks is None else np.asarray(blocks)
        self._segments = segments
        self.labels = labels
        self.truncated = truncated
        self.packed = blocks is not None and not apart
        self.apart = apart
        self.segmented = segments is not None
        self._words = words
        self.word_counts = words.counts if words else None
        self._windows = windows
        self.owners = windows.owners if windows else None
        bounds = self._starts if self._blocks is None else self._starts[self._blocks]
        self.lengths = np.diff(bounds).astype(np.int32)

    def __getitem__(self, index: int) -> dict[str, Any]:
        self._check_index(index)
        first, last = (index, index + 1) if self._blocks is None else self._blocks[index : index + 2]
        bounds = self._starts[first : last + 1]
        span = slice(bounds[0], bounds[-1])
        item: dict[str, Any] = {"input_ids": self._tokens[span]}
        if self._segments is not None:
            item["token_type_ids"] = self._segments[span]
        if self.labels is not None:
            item["labels"] = self.labels[index]
        if self._words is not None:
            item["word_starts"] = self._words.starts[span]
            if self._words.labels is not None:
                item["labels"] = self._words.labels[span]
        if self._windows is not None:
            item["characters"] = self._windows.characters[span]
            if self._windows.spans is not None:
                item["span"] = self._windows.spans[index]
        if self.packed or self.apart:
            item["text_lengths" if self.apart else "piece_lengths"] = np.diff(bounds)
        return item

    @property
    def text_lengths(self) -> npt.NDArray[np.int64]:
        """(P,) tokens of each piece, which is a text where it is not one of several windows or blocks."""
        return np.diff(self._starts)

    def in_pairs(self, labels: Sequence[float] | None) -> TokenizedTexts:
        """Every two texts as a row of their own, to be encoded apart.

        Args:
            labels: (P/2,), of the pairs.
        """
        pairs = np.arange(0, len(self) + 1, 2)
        return TokenizedTexts(
            self._tokens,
            self._starts,
            blocks=pairs,
            apart=True,
            labels=None if labels is None else np.asarray(labels, dtype=np.float32),
            truncated=self.truncated,
        )

    def save(self, folder: Path) -> None:
        """Write unlabelled texts as arrays that `load` maps."""
        save_pieces(folder, self._tokens, self._starts, self._blocks)

    @classmethod
    def load(cls, folder: Path) -> TokenizedTexts:
        """Map what `save` wrote; memory grows with the number of rows alone.

        Raises:
            DataError: a file is missing, or not whole.
        """
        names = ("tokens", "starts", "blocks") if (folder / "blocks.npy").exists() else ("tokens", "starts")
        try:
            arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"the tokens in {folder} cannot be read ({error}): delete the folder and tokenise again"
            ) from error
        tokens, starts, *packing = arrays
        ends = [(starts, len(tokens)), *((blocks, len(starts) - 1) for blocks in packing)]
        if not all(len(bounds) and bounds[-1] == end for bounds, end in ends):
            raise DataError(
                f"the files in {folder} do not belong together: delete the folder and tokenise again"
            )
        return cls(tokens, starts, blocks=packing[0] if packing else None)


class JoinedTexts(TokenRows):
    """Several sets of rows, one after the other: shards, or training texts and a corpus.

    Labels are kept only where all parts have some. Single texts may stand beside pairs encoded apart.

    Args:
        parts: at least one.

    Raises:
        DataError: no parts, or parts of which only some are packed, or only some have segments.
    """

    def __init__(self, parts: Sequence[TokenRows]) -> None:
        if not parts:
            raise DataError("there are no texts to join; expected at least one set of them")
        for what in ("packed", "segmented"):
            if len({getattr(part, what) for part in parts}) > 1:
                which = [str(number) for number, part in enumerate(parts, 1) if getattr(part, what)]
                raise DataError(
                    f"of {len(parts)} sets of texts only some are {what} (set {', '.join(which[:5])}), and "
                    "their rows do not fit into one batch: tokenise all of them alike"
                )
        self._parts = parts
        self._starts = starts_of(np.asarray([len(part) for part in parts]))
        self.packed = parts[0].packed
        self.segmented = parts[0].segmented
        self.apart = any(part.apart for part in parts)
        self.truncated = sum(part.truncated for part in parts)
        self.lengths = np.concatenate([part.lengths for part in parts])
        labels = [part.labels for part in parts if part.labels is not None]
        self.labels = np.concatenate(labels) if len(labels) == len(parts) else None
        counts = [part.word_counts for part in parts if part.word_counts is not None]
        self.word_counts = np.concatenate(counts) if len(counts) == len(parts) else None

    def __getitem__(self, index: int) -> dict[str, Any]:
        self._check_index(index)
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        item = self._parts[part][index - int(self._starts[part])]
        if self.labels is None and self.word_counts is None:
            item.pop("labels", None)
        return item


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    labels: Sequence[int] | Sequence[float] | npt.NDArray[Any] | None = None,
    max_length_tokens: int = 128,
) -> TokenizedTexts:
    """Tokenise labelled or unlabelled texts; longer ones are cut, pairs at the longer of the two.

    Args:
        tokenizer: a fast tokenizer.
        texts: N texts.
        pairs: N second texts, or None.
        labels: N class ids (int) or numbers (float), (N, C) 0 or 1 for each of several labels, or None.
        max_length_tokens: special tokens included.

    Raises:
        DataError: there is no text, the numbers of texts, pairs and labels differ, or the limit is too low.
    """
    if not texts:
        raise DataError("there are no texts to tokenise; expected at least one")
    for what, other in (("second texts", pairs), ("labels", labels)):
        if other is not None and len(other) != len(texts):
            raise DataError(f"{len(texts)} texts but {len(other)} {what}; expected as many of each")
    special_tokens(tokenizer, max_length_tokens, pair=pairs is not None)
    segmented = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    dtype = id_dtype(tokenizer)
    ids: list[npt.NDArray[Any]] = []
    segments: list[npt.NDArray[Any]] = []
    lengths: list[npt.NDArray[np.int64]] = []
    truncated = start = 0
    for chunk in chunks(texts):
        encoded = tokenizer(
            chunk,
            list(pairs[start : start + len(chunk)]) if pairs is not None else None,
            truncation=True,
            max_length=max_length_tokens,
            return_token_type_ids=segmented,
            return_attention_mask=False,
        )
        start += len(chunk)
        ids.append(flat(encoded["input_ids"], dtype))
        lengths.append(row_lengths(encoded["input_ids"]))
        if segmented:
            segments.append(flat(encoded["token_type_ids"], np.dtype(np.uint8)))
        truncated += sum(bool(encoding.overflowing) for encoding in encoded.encodings)
    # Several labels come as rows, and are numbers to a loss.
    integral = labels is not None and all(isinstance(label, int | np.integer) for label in labels)
    return TokenizedTexts(
        joined(ids, dtype),
        starts_of(np.concatenate(lengths)),
        segments=np.concatenate(segments) if segmented else None,
        labels=None if labels is None else np.asarray(labels, dtype=np.int64 if integral else np.float32),
        truncated=truncated,
    )


def tokenize_corpus(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], *, max_length_tokens: int = 128
) -> TokenizedTexts:
    """Tokenise unlabelled texts in memory; one longer than the limit gives several rows, none is cut off.

    Raises:
        DataError: there is no text, or the limit is too low.
    """
    ids, starts = cut(tokenizer, texts, max_length_tokens=max_length_tokens)
    if not len(ids):
        raise DataError("the corpus holds no text; expected at least one non-empty line")
    return TokenizedTexts(ids, starts)
