"""What a candidate finder is built from, by name: little enough to be sent to any process or machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from bertling.augmentation.candidates import CandidateFinder
from bertling.augmentation.masked_lm_candidates import Mode
from bertling.augmentation.word_vectors import WordVectors
from bertling.augmentation.words import ENGLISH
from bertling.models.masked_lm import load_masked_lm
from bertling.models.teacher import load_tokenizer


@dataclass(frozen=True)
class FinderSettings:
    """Settings of a ``CandidateFinder``, which says what they mean.

    Attributes:
        masked_lm: folder, hub name or ``package:NAME`` of a model with a masked-LM head and its tokenizer.
        vectors: text file of word vectors, or None to leave words of several pieces alone.
        cache: folder for what is made of the vectors when they are read first; beside their file if None.
        candidates, mode, stop_words, max_length_tokens, batch_tokens: as for ``CandidateFinder``.
        precision: of the masked LM's weights and states. ``bfloat16`` is several times faster on processors
            with instructions for it, and rounds: among near-equals other candidates may come first.
    """

    masked_lm: str
    vectors: Path | None = None
    cache: Path | None = None
    candidates: int = 15
    mode: Mode = "masked"
    stop_words: frozenset[str] = ENGLISH
    max_length_tokens: int = 128
    batch_tokens: int = 1024
    precision: Literal["float32", "bfloat16"] = "float32"

    def build(self) -> CandidateFinder:
        """Load what is named.

        Raises:
            ModelError: the model is not found, lacks the head, or does not fit its tokenizer.
            DataError: no such file of vectors, or one that cannot be read.
        """
        vectors = self.vectors
        return CandidateFinder(
            masked_lm=load_masked_lm(self.masked_lm).to(getattr(torch, self.precision)),
            tokenizer=load_tokenizer(self.masked_lm),
            vectors=WordVectors.load(vectors, self.cache or vectors.parent) if vectors else None,
            candidates=self.candidates,
            mode=self.mode,
            stop_words=self.stop_words,
            max_length_tokens=self.max_length_tokens,
            batch_tokens=self.batch_tokens,
        )
