"""Which words of a text can be replaced, and by what (Jiao et al. 2020, arXiv:1909.10351, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.augmentation.masked_lm_candidates import MaskedLMCandidates, Mode
from bertling.augmentation.word_vectors import WordVectors
from bertling.augmentation.words import encode_words


class Replaceable(NamedTuple):
    """A word that can be replaced.

    Attributes:
        start, end: its characters in the text.
        candidates: what can replace it, best first.
    """

    start: int
    end: int
    candidates: tuple[str, ...]


class CandidateFinder:
    """Finds what could replace the content words of texts.

    A word that is one piece to the tokenizer gets the K words that a masked language model finds likeliest in
    its place; a word of several pieces the K words with the nearest vectors.

    Args:
        masked_lm: a model with a masked-LM head; it is put in eval mode for the time of a call.
        tokenizer: the model's own fast tokenizer.
        vectors: for words of several pieces, which are left alone without them.
        candidates: K.
        mode: ``masked`` hides one word at a time from the model, as the paper does; ``unmasked`` reads the
            model's output at all words in one pass, which costs one row a text instead of one a word.
        stop_words: lower-cased words that are left alone.
        max_length_tokens: words beyond are left alone; a limit above that of the model is lowered to it.
        batch_tokens: padded tokens that run through the model at a time.

    Raises:
        ModelError: the tokenizer has no mask token (``masked``) or no entry that is a word, its ids are not
            the model's, or the model has no encoder below its head.
    """

    def __init__(
        self,
        *,
        masked_lm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        vectors: WordVectors | None,
        candidates: int = 15,
        mode: Mode = "masked",
        stop_words: frozenset[str],
        max_length_tokens: int = 128,
        batch_tokens: int = 1024,
    ) -> None:
        self._masked_lm = MaskedLMCandidates(
            masked_lm, tokenizer, candidates=candidates, mode=mode, batch_tokens=batch_tokens
        )
        self._tokenizer = tokenizer
        self._vectors = vectors
        self._candidates = candidates
        self._stop_words = stop_words
        self._max_length_tokens = min(max_length_tokens, _positions(masked_lm), tokenizer.model_max_length)
        self._nearest: dict[str, tuple[str, ...]] = {}

    def find(self, texts: Sequence[str]) -> list[list[Replaceable]]:
        """The content words of each text that have a candidate, in the order of the text.

        Numbers, punctuation, stop words and words beyond the limit are left alone. A candidate is a whole
        word of letters, with inner apostrophes and hyphens; it is not the word itself, and no two candidates
        of a word differ only in case. Their case is that of the vocabulary or of the vectors.

        What is found is a function of the texts. Which other texts are in the call can change only the
        rounding of the model's output, and so the order of candidates that are as good as equal.
        """
        encoded = encode_words(self._tokenizer, texts, max_length_tokens=self._max_length_tokens)
        content = [
            [
                (word, written)
                for word in words
                if (written := text[word.start : word.end]).lower() not in self._stop_words
            ]
            for text, (_, words) in zip(texts, encoded, strict=True)
        ]
        likeliest = self._masked_lm.find(
            [
                (ids, {word.token: written for word, written in words if word.pieces == 1})
                for (ids, _), words in zip(encoded, content, strict=True)
            ]
        )
        self._look_up([written for words in content for word, written in words if word.pieces > 1])
        return [
            [
                Replaceable(word.start, word.end, candidates)
                for word, written in words
                if (
                    candidates := tuple(in_text[word.token])
                    if word.pieces == 1
                    else self._nearest.get(written, ())
                )
            ]
            for words, in_text in zip(content, likeliest, strict=True)
        ]

    def _look_up(self, words: Sequence[str]) -> None:
        if self._vectors is None:
            return
        new = [word for word in dict.fromkeys(words) if word not in self._nearest]
        for word, nearest in zip(new, self._vectors.nearest(new, self._candidates), strict=True):
            self._nearest[word] = tuple(nearest)


def _positions(model: PreTrainedModel) -> int:
    """How many tokens the model has positions for; RoBERTa and its kin leave the first ones unused."""
    tables = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.base_model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
    ]
    return min([int(model.config.max_position_embeddings), *tables])
