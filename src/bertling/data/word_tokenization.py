"""Texts whose words have labels, as token ids: a word's label stands at its first piece.

N texts, R tokens of all texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from bertling.data.examples import UNLABELLED
from bertling.data.pieces import chunks, flat, id_dtype, joined, row_lengths, special_tokens, starts_of
from bertling.data.tokenization import TokenizedTexts, TokenWords
from bertling.errors import DataError


def tokenize_words(
    tokenizer: PreTrainedTokenizerBase,
    words: Sequence[Sequence[str]],
    *,
    labels: Sequence[Sequence[int]] | None = None,
    max_length_tokens: int = 128,
) -> TokenizedTexts:
    """Tokenise texts word by word; longer ones are cut, and the words behind the cut have no answer.

    Args:
        tokenizer: a fast tokenizer.
        words: N lists of words.
        labels: N lists of as many class ids, or None.
        max_length_tokens: special tokens included.

    Returns:
        Rows with ``labels`` (T,), -100 but for the first piece of each word, and ``word_starts`` (T,).

    Raises:
        DataError: there is no text, the numbers of words and labels differ, the limit is too low, or the
            tokenizer cannot take words one by one.
    """
    if not words:
        raise DataError("there are no texts to tokenise; expected at least one")
    if labels is not None and [len(row) for row in labels] != [len(row) for row in words]:
        raise DataError(
            "the texts have other numbers of words than of labels; expected one label for each word"
        )
    special_tokens(tokenizer, max_length_tokens, pair=False)
    dtype = id_dtype(tokenizer)
    ids: list[npt.NDArray[Any]] = []
    lengths: list[npt.NDArray[np.int64]] = []
    starts: list[npt.NDArray[np.int32]] = []
    found: list[npt.NDArray[np.int64]] = []
    truncated = first = 0
    for chunk in chunks(words):
        encoded = _by_words(tokenizer, [list(row) for row in chunk], max_length_tokens)
        ids.append(flat(encoded["input_ids"], dtype))
        lengths.append(row_lengths(encoded["input_ids"]))
        truncated += sum(bool(encoding.overflowing) for encoding in encoded.encodings)
        for row, encoding in enumerate(encoded.encodings, start=first):
            begins = _word_starts(encoding.word_ids)
            starts.append(begins)
            if labels is not None:
                # One more, so that -1 finds what stands for no word.
                found.append(np.asarray([*labels[row], UNLABELLED], dtype=np.int64)[begins])
        first += len(chunk)
    return TokenizedTexts(
        joined(ids, dtype),
        starts_of(np.concatenate(lengths)),
        truncated=truncated,
        words=TokenWords(
            np.concatenate(starts),
            np.concatenate(found) if labels is not None else None,
            np.asarray([len(row) for row in words], dtype=np.int64),
        ),
    )


def _by_words(tokenizer: PreTrainedTokenizerBase, words: list[list[str]], limit: int) -> Any:
    try:
        return tokenizer(
            words,
            is_split_into_words=True,
            truncation=True,
            max_length=limit,
            return_token_type_ids=False,
            return_attention_mask=False,
        )
    except (AssertionError, ValueError) as error:
        raise DataError(
            f"{type(tokenizer).__name__} cannot take words one by one ({error}): byte-level tokenizers need "
            "add_prefix_space = true in their tokenizer_config.json"
        ) from error


def _word_starts(word_ids: Sequence[int | None]) -> npt.NDArray[np.int32]:
    """(T,) the word that begins at each token, or -1."""
    ids = np.asarray([-1 if word is None else word for word in word_ids], dtype=np.int32)
    begins = np.diff(ids, prepend=-1) != 0
    return np.where(begins, ids, np.int32(-1))
