"""The texts that stages learn from, as far as a look at them tells before they are tokenised as a whole.

N texts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertling.data.corpus_sample import CorpusSample, sample_corpus, sample_stream
from bertling.data.examples import Examples
from bertling.data.shards import load_shards, write_shards
from bertling.data.tokenization import JoinedTexts, TokenRows
from bertling.data.tokenized_examples import tokenize_examples
from bertling.pipeline.context import Context
from bertling.pipeline.corpus import corpus_path, general_texts
from bertling.results import TextLengths

_TEXTS = 20_000
# Those that steps are timed on: enough for the largest batches.
_MIDDLE = 512
_NO_LIMIT = 1 << 30


@dataclass(frozen=True)
class TextSet:
    """What a stage learns from.

    Attributes:
        rows: of all texts, or blocks; None if their number is not known.
        tokens: of all rows; None likewise.
        exact: whether all texts were looked at.
        middle: rows of about the median length.
        tokenising_seconds: for each token.
    """

    rows: int | None
    tokens: int | None
    exact: bool
    middle: TokenRows
    tokenising_seconds: float

    def times(self, count: int) -> TextSet:
        """With so many rows in the place of each, at most: not all texts have as many variants."""
        return replace(
            self,
            rows=self.rows and self.rows * count,
            tokens=self.tokens and self.tokens * count,
            exact=self.exact and count == 1,
        )

    def __add__(self, other: TextSet) -> TextSet:
        known = None not in (self.rows, self.tokens, other.rows, other.tokens)
        return TextSet(
            rows=(self.rows or 0) + (other.rows or 0) if known else None,
            tokens=(self.tokens or 0) + (other.tokens or 0) if known else None,
            exact=self.exact and other.exact,
            middle=JoinedTexts([self.middle, other.middle]),
            tokenising_seconds=self.tokenising_seconds,
        )


def look_at_examples(context: Context, examples: Examples, name: str) -> tuple[TextSet, TextLengths]:
    """The training or test set, of which at most 20,000 texts are tokenised."""
    started = time.perf_counter()
    limit = context.recipe.data.max_length_tokens
    drawn = examples.draw(_TEXTS, seed=context.recipe.seed)
    if examples.answers is not None:
        return _look_at_windows(context.tokenized(drawn), len(examples) / len(drawn), name, limit, started)
    rows = tokenize_examples(
        context.tokenizer, drawn, max_length_tokens=_NO_LIMIT, apart=context.task.sentence_embeddings
    )
    # Of a pair whose texts are encoded apart, those of both.
    lengths = rows.text_lengths
    tokens = np.minimum(lengths, limit).sum()
    seconds = time.perf_counter() - started
    return TextSet(
        rows=len(examples),
        tokens=round(float(tokens) * len(examples) / len(drawn)),
        exact=len(drawn) == len(examples),
        middle=context.tokenized(drawn.take(_middle(rows.lengths.astype(np.int64)))),
        tokenising_seconds=seconds / float(tokens),
    ), _lengths(
        name,
        lengths,
        limit,
        rows=len(examples) * len(lengths) // len(drawn),
        truncated=float((lengths > limit).mean()),
    )


def _look_at_windows(
    drawn: TokenRows, times: float, name: str, limit: int, started: float
) -> tuple[TextSet, TextLengths]:
    """Questions with windows of their contexts, of which nothing is cut; there are so many times as many."""
    lengths = drawn.lengths.astype(np.int64)
    rows = round(len(drawn) * times)
    return TextSet(
        rows=rows,
        tokens=round(int(lengths.sum()) * times),
        exact=times == 1,
        middle=_Chosen(drawn, _middle(lengths)),
        tokenising_seconds=(time.perf_counter() - started) / int(lengths.sum()),
    ), _lengths(name, lengths, limit, rows=rows, truncated=None)


def look_at_corpus(
    context: Context, name: str, sample_of: Callable[[Context], CorpusSample], folder: Path
) -> tuple[TextSet, TextLengths]:
    """Unlabelled text, ``name`` being ``general`` or ``unlabelled``, as the stage ``corpus`` writes it.

    Rows that the stage has written already are taken in the place of the sample.

    Args:
        context: the run.
        name: of the shards.
        sample_of: `sample_of_corpus` or `sample_of_unlabelled`.
        folder: takes the sample's shards.
    """
    general, limit = context.recipe.general, context.recipe.data.max_length_tokens
    packed = False
    if name == "general":
        assert general is not None
        limit, packed = general.max_length_tokens, general.packed
    share: float | None = 1.0
    seconds = 0.0
    written = context.folder / "stages" / "corpus" / name
    if not written.exists():
        sample = sample_of(context)
        started = time.perf_counter()
        written = folder / name
        write_shards(sample.texts, context.tokenizer, written, max_length_tokens=limit, packed=packed)
        seconds = time.perf_counter() - started
        share = len(sample.texts) / sample.total if sample.total else None
    rows = load_shards(written)
    lengths = rows.lengths.astype(np.int64)
    tokens = int(lengths.sum())
    count = round(len(rows) / share) if share else None
    return TextSet(
        rows=count,
        tokens=round(tokens / share) if share else None,
        exact=share == 1.0,
        middle=_Chosen(rows, _middle(lengths)),
        tokenising_seconds=seconds / tokens,
    ), _lengths(name, lengths, limit, rows=count, truncated=None)


def sample_of_corpus(context: Context) -> CorpusSample:
    """Texts of the general stage."""
    general = context.recipe.general
    assert general is not None
    if general.corpus_hub:
        return sample_stream(general_texts(context), most=general.corpus_texts)
    return sample_corpus(corpus_path(context), column=general.corpus_column, most=general.corpus_texts)


def sample_of_unlabelled(context: Context) -> CorpusSample:
    """Texts of task stages that learn from unlabelled text as well."""
    source = context.recipe.data.unlabelled
    return sample_corpus(source) if source else sample_of_corpus(context)


class _Chosen(TokenRows):
    """Some rows of others."""

    def __init__(self, rows: TokenRows, chosen: Sequence[int]) -> None:
        self._rows = rows
        self._chosen = chosen
        self.lengths = rows.lengths[chosen]
        self.labels = None
        self.truncated = 0
        self.packed = rows.packed
        self.segmented = rows.segmented
        self.apart = rows.apart

    def __getitem__(self, index: int) -> dict[str, Any]:
        self._check_index(index)
        return self._rows[self._chosen[index]]


def _middle(lengths: npt.NDArray[np.int64]) -> list[int]:
    """Places of the rows around the median."""
    order = np.argsort(lengths, kind="stable")
    first = max(0, (len(order) - _MIDDLE) // 2)
    return [int(row) for row in order[first : first + _MIDDLE]]


def _lengths(
    name: str, lengths: npt.NDArray[np.int64], limit: int, *, rows: int | None, truncated: float | None
) -> TextLengths:
    median, p95 = np.percentile(lengths, (50, 95), method="nearest").tolist()
    return TextLengths(
        name=name,
        rows=len(lengths),
        all_rows=rows,
        median_tokens=median,
        p95_tokens=p95,
        longest_tokens=int(lengths.max()),
        limit_tokens=limit,
        truncated_fraction=truncated,
    )
