"""Questions and their contexts as token ids: a long context comes in several windows that overlap.

N rows, each a question with a window of its context; R tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from bertling.data.examples import Answer
from bertling.data.pieces import chunks, flat, id_dtype, joined, row_lengths, special_tokens, starts_of
from bertling.data.tokenization import TokenizedTexts, TokenWindows
from bertling.errors import DataError

_SHOWN = 60
_OF_CONTEXT = 1
"""what a fast tokenizer calls the second of two texts"""


def default_stride(max_length_tokens: int) -> int:
    """A third of the length, as the 128 of 384 tokens that is usual for SQuAD."""
    return max_length_tokens // 3


def tokenize_questions(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    answers: Sequence[Sequence[Answer]] | None = None,
    max_length_tokens: int = 384,
    stride_tokens: int | None = None,
) -> TokenizedTexts:
    """Tokenise each question with its context; where both together are too long, with windows of it.

    Args:
        tokenizer: a fast tokenizer.
        questions: texts.
        contexts: as many.
        answers: as many lists; the first answer of each is learned, and an empty list is no answer.
        max_length_tokens: of a row, special tokens included.
        stride_tokens: tokens of the context that neighbouring windows share; default: `default_stride`.

    Returns:
        Rows with a ``span`` (2,), the first token of the answer and its last: both are token 0, which stands
        for no answer, where the window does not hold all of it. And with ``characters`` (T, 2), where each
        token of the context begins and ends there, -1 for others.

    Raises:
        DataError: there is no question, the numbers differ, or questions leave too little room.
    """
    if not questions:
        raise DataError("there are no questions to tokenise; expected at least one")
    for what, other in (("contexts", contexts), ("lists of answers", answers)):
        if other is not None and len(other) != len(questions):
            raise DataError(f"{len(questions)} questions but {len(other)} {what}; expected as many of each")
    stride = default_stride(max_length_tokens) if stride_tokens is None else stride_tokens
    _check_room(tokenizer, questions, max_length_tokens, stride)
    segmented = "token_type_ids" in tokenizer.model_input_names
    dtype = id_dtype(tokenizer)
    ids: list[npt.NDArray[Any]] = []
    segments: list[npt.NDArray[Any]] = []
    lengths: list[npt.NDArray[np.int64]] = []
    characters: list[npt.NDArray[np.int32]] = []
    owners: list[int] = []
    spans: list[tuple[int, int]] = []
    first = 0
    for chunk in chunks(contexts):
        encoded = tokenizer(
            list(questions[first : first + len(chunk)]),
            chunk,
            truncation="only_second",
            max_length=max_length_tokens,
            stride=stride,
            return_overflowing_tokens=True,
            return_token_type_ids=segmented,
            return_attention_mask=False,
        )
        ids.append(flat(encoded["input_ids"], dtype))
        lengths.append(row_lengths(encoded["input_ids"]))
        if segmented:
            segments.append(flat(encoded["token_type_ids"], np.dtype(np.uint8)))
        for encoding, member in zip(encoded.encodings, encoded["overflow_to_sample_mapping"], strict=True):
            where = _characters(encoding)
            characters.append(where)
            owners.append(first + member)
            if answers is not None:
                spans.append(_span(where, answers[first + member]))
        first += len(chunk)
    return TokenizedTexts(
        joined(ids, dtype),
        starts_of(np.concatenate(lengths)),
        segments=np.concatenate(segments) if segmented else None,
        windows=TokenWindows(
            np.asarray(owners, dtype=np.int64),
            np.concatenate(characters),
            np.asarray(spans, dtype=np.int64) if answers is not None else None,
        ),
    )


def _characters(encoding: Any) -> npt.NDArray[np.int32]:
    """(T, 2) where each token of the context begins and ends in it, -1 for the others."""
    where = np.asarray(encoding.offsets, dtype=np.int32)
    # A token without characters, as a byte of several that make one, can neither begin nor end an answer.
    there = (np.asarray([part == _OF_CONTEXT for part in encoding.sequence_ids])) & (
        where[:, 1] > where[:, 0]
    )
    return np.where(there[:, None], where, np.int32(-1))


def _span(characters: npt.NDArray[np.int32], answers: Sequence[Answer]) -> tuple[int, int]:
    """First and last token of the first answer; token 0 twice where there is none, or not all of it."""
    if not answers:
        return 0, 0
    begin, end = answers[0].start, answers[0].start + len(answers[0].text)
    (tokens,) = np.nonzero(characters[:, 0] >= 0)
    if not len(tokens) or characters[tokens[0], 0] > begin or characters[tokens[-1], 1] < end:
        return 0, 0
    inside = tokens[(characters[tokens, 1] > begin) & (characters[tokens, 0] < end)]
    return (int(inside[0]), int(inside[-1])) if len(inside) else (0, 0)


def _check_room(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], max_length_tokens: int, stride: int
) -> None:
    specials = special_tokens(tokenizer, max_length_tokens, pair=True)
    longest, most, tight = "", -1, 0
    for chunk in chunks(questions):
        encoded = tokenizer(
            chunk, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
        )
        for question, row in zip(chunk, encoded["input_ids"], strict=True):
            tight += max_length_tokens - specials - len(row) <= stride
            if len(row) > most:
                longest, most = question, len(row)
    if tight:
        shown = longest if len(longest) <= _SHOWN else f"{longest[:_SHOWN]}..."
        raise DataError(
            f"{tight:,} of {len(questions):,} questions leave too little room for their contexts. The "
            f"longest, {shown!r}, has {most} tokens: of max_length_tokens {max_length_tokens}, without "
            f"{specials} special tokens, {max(0, max_length_tokens - specials - most)} are left, and "
            f"windows that share {stride} tokens (stride_tokens) need more than these. Raise "
            "max_length_tokens, lower stride_tokens, or shorten or remove these questions"
        )
