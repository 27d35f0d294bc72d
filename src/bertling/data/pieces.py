"""Texts as pieces of token ids, in flat arrays.

Imports no torch, so that processes which only tokenise start quickly and stay small. P pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from bertling.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a tokenizer gets at once: its own objects take some hundred times the memory of the ids.
_CHUNK_TEXTS = 1000
_CHUNK_CHARACTERS = 250_000

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.int32]
Text = TypeVar("Text", bound=Sized)


def cut(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], *, max_length_tokens: int
) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Tokenise texts; one longer than the limit gives several pieces, none is cut off.

    Args:
        tokenizer: a fast tokenizer.
        texts: those that have no token give no piece.
        max_length_tokens: of a piece, special tokens included.

    Returns:
        The ids of all pieces, and (P+1,) where each piece starts.

    Raises:
        DataError: the limit leaves no room for a token.
    """
    specials = special_tokens(tokenizer, max_length_tokens, pair=False)
    dtype = id_dtype(tokenizer)
    ids: list[npt.NDArray[Any]] = []
    lengths: list[npt.NDArray[np.int64]] = []
    for chunk in chunks(texts):
        encoded = tokenizer(
            chunk,
            truncation=True,
            max_length=max_length_tokens,
            return_overflowing_tokens=True,
            return_token_type_ids=False,
            return_attention_mask=False,
        )
        rows = [row for row in encoded["input_ids"] if len(row) > specials]
        ids.append(flat(rows, dtype))
        lengths.append(row_lengths(rows))
    return joined(ids, dtype), starts_of(joined(lengths, np.dtype(np.int64)))


def chunks(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """The texts, or lists of words, in lists limited in number and in characters (or words)."""
    chunk: list[Text] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) == _CHUNK_TEXTS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def special_tokens(tokenizer: PreTrainedTokenizerBase, max_length_tokens: int, *, pair: bool) -> int:
    """How many special tokens a text or pair gets; tokenizers do not cut where they leave no room.

    Raises:
        DataError: the limit leaves no room beside them.
    """
    specials: int = tokenizer.num_special_tokens_to_add(pair=pair)
    if max_length_tokens <= specials:
        raise DataError(
            f"max_length_tokens {max_length_tokens} leaves no room beside {specials} special tokens; "
            f"expected at least {specials + 1}"
        )
    return specials


def id_dtype(tokenizer: PreTrainedTokenizerBase) -> np.dtype:
    """The smaller of uint16 and int32 that holds every id of the tokenizer."""
    largest = max(tokenizer.get_vocab().values(), default=0)
    return np.dtype(np.uint16 if largest <= np.iinfo(np.uint16).max else np.int32)


def flat(rows: Sequence[Sequence[int]], dtype: np.dtype) -> npt.NDArray[Any]:
    """All numbers of all rows, one row after the other."""
    return np.fromiter(chain.from_iterable(rows), dtype, count=sum(map(len, rows)))


def row_lengths(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    """How many numbers each row has."""
    return np.fromiter(map(len, rows), np.int64, count=len(rows))


def joined(arrays: Sequence[npt.NDArray[Any]], dtype: np.dtype) -> npt.NDArray[Any]:
    """Flat arrays one after the other; there may be none."""
    return np.concatenate([np.empty(0, dtype), *arrays])


def starts_of(lengths: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Where each of so long members starts in a flat array, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def save_pieces(
    folder: Path,
    ids: npt.NDArray[Any],
    starts: npt.NDArray[np.int64],
    blocks: npt.NDArray[np.int64] | None,
) -> None:
    """Write the arrays that `TokenizedTexts.load` maps."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", ids)
    np.save(folder / "starts.npy", starts)
    if blocks is not None:
        np.save(folder / "blocks.npy", blocks)
