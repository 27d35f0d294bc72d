"""What a model is asked: texts, pairs of texts, or lists of words; checked, and as token ids.

B batch, T tokens, W words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bertling.data.problems import text_problem
from bertling.errors import ModelError
from bertling.inference.manifest import TOKENIZER, Manifest

Text = str | Sequence[str]
"""a text; a pair of texts; or a list of words, as the model's kind wants it"""


def problem_of(text: object, manifest: Manifest) -> str | None:
    """Why a model cannot be asked this, or None."""
    if manifest.kind == "words":
        if isinstance(text, str) or not isinstance(text, Sequence):
            return f"is {_named(text)}, expected a list of words"
        if not text:
            return "holds no word"
        problems = (_problem_of_string(word) for word in text)
        return next((f"holds a word that {problem}" for problem in problems if problem), None)
    if manifest.pairs:
        if isinstance(text, str) or not isinstance(text, Sequence) or len(text) != 2:
            return f"is {_named(text)}, expected a pair of texts"
        problems = (_problem_of_string(side) for side in text)
        return next((f"has a side that {problem}" for problem in problems if problem), None)
    return _problem_of_string(text)


def _named(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"a {type(value).__name__} of {len(value)}"
    return {"str": "a single text", "NoneType": "missing"}.get(type(value).__name__, type(value).__name__)


def _problem_of_string(value: object) -> str | None:
    if not isinstance(value, str):
        return f"is {_named(value)}, expected text"
    return text_problem(value)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as token ids, (T,), and segments; where each of its W words begins, -1 if it was cut off."""

    ids: list[int]
    segments: list[int]
    starts: npt.NDArray[np.int64] | None = None


class TextEncoder:
    """The tokenizer of an exported folder.

    One text at a time: batches would start threads of their own, whatever number was asked for.

    Args:
        folder: with ``tokenizer.json``.
        manifest: its kind and limit.

    Raises:
        ModelError: a tokenizer that is missing or damaged, or for which the limit is too low.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        file = folder / TOKENIZER
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except BaseException as error:  # tokenizers raises nothing narrower, and panics are no Exception
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise ModelError(f"{file} cannot be read ({error}): export the model again") from error
        self._words = manifest.kind == "words"
        self._padding = {"input_ids": manifest.pad_token_id}
        self._inputs = manifest.inputs
        self._tokenizer.no_padding()
        specials = self._tokenizer.num_special_tokens_to_add(manifest.pairs)
        if manifest.max_length_tokens <= specials:
            raise ModelError(
                f"{folder}: max_length_tokens {manifest.max_length_tokens} leaves no room beside {specials} "
                "special tokens: export the model again"
            )
        self._tokenizer.enable_truncation(
            manifest.max_length_tokens, strategy="longest_first", direction=manifest.truncation_side
        )

    def encode(self, text: Text) -> Encoded:
        """Tokenise what `problem_of` finds no fault with."""
        if self._words:
            encoding = self._encoding(list(text), is_pretokenized=True)
            starts = np.full(len(text), -1, dtype=np.int64)
            for token in range(len(encoding.ids) - 1, -1, -1):
                if (word := encoding.word_ids[token]) is not None:
                    starts[word] = token
            return Encoded(encoding.ids, encoding.type_ids, starts)
        first, second = (text, None) if isinstance(text, str) else text
        encoding = self._encoding(first, second)
        return Encoded(encoding.ids, encoding.type_ids)

    def _encoding(self, *texts: Any, **settings: Any) -> Any:
        try:
            return self._tokenizer.encode(*texts, **settings)
        except Exception as error:  # tokenizers raises nothing narrower
            raise ModelError(
                f"{TOKENIZER} cannot tokenise {str(texts[0])[:60]!r} ({error}): export the model again"
            ) from error

    def batch(self, rows: Sequence[Encoded]) -> dict[str, npt.NDArray[np.int64]]:
        """The graph's inputs, each (B, T), padded to the longest."""
        lengths = np.asarray([len(row.ids) for row in rows])
        real = np.arange(lengths.max()) < lengths[:, None]
        values: dict[str, Any] = {"attention_mask": real.astype(np.int64)}
        for name, of_rows in (
            ("input_ids", [row.ids for row in rows]),
            ("token_type_ids", [row.segments for row in rows]),
        ):
            if name in self._inputs:
                values[name] = np.full(real.shape, self._padding.get(name, 0), dtype=np.int64)
                values[name][real] = np.concatenate(of_rows)
        return {name: values[name] for name in self._inputs}
