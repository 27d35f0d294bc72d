"""Replacements for words of one piece: what a masked language model expects in their place.

B rows, T tokens, P positions that are asked for, D width, V entries of the vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from tokenizers import decoders
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.augmentation.words import is_word
from bertling.errors import ModelError
from bertling.models.masked_lm import logits_at

Mode = Literal["masked", "unmasked"]

_BYTE_LEVEL_SPACE = "Ġ"
_METASPACE = "▁"

# Padding, as a share of a batch's tokens, that costs no more than another batch does.
_PADDING = 1 / 64

# Values of the logits of one batch, which large vocabularies would let grow: 256 MiB of float32.
_BATCH_LOGITS = 2**26


class _Row(NamedTuple):
    """What the model reads, and the positions at which its logits are wanted."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]


class MaskedLMCandidates:
    """Asks a masked language model what could stand in the place of words.

    Args:
        masked_lm: a model with a masked-LM head over all of the vocabulary; its weights and mode are left
            alone.
        tokenizer: the model's own.
        candidates: K, how many to give for a word.
        mode: ``masked`` replaces one word at a time by the mask token, as the paper does; ``unmasked`` reads
            the logits at all words of the text as it is, in one pass.
        batch_tokens: padded tokens in a batch.

    Raises:
        ModelError: the tokenizer has no mask token (``masked``) or no entry that is a word, its ids are not
            the model's, or the model has no encoder below its head.
    """

    def __init__(
        self,
        masked_lm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        candidates: int,
        mode: Mode,
        batch_tokens: int,
    ) -> None:
        if masked_lm.base_model is masked_lm:
            raise ModelError(
                f"{type(masked_lm).__name__} has no encoder below its head; expected a model such as "
                "BertForMaskedLM: load it with AutoModelForMaskedLM"
            )
        if mode == "masked" and tokenizer.mask_token_id is None:
            raise ModelError(
                "the tokenizer has no mask token, so that no word can be masked: take the model's own "
                "tokenizer, or the mode 'unmasked'"
            )
        replacements = replacement_entries(tokenizer)
        if max(replacements) >= masked_lm.config.vocab_size:
            raise ModelError(
                f"the tokenizer has ids up to {max(replacements)}, but the masked LM knows "
                f"{masked_lm.config.vocab_size} tokens: use the model's own tokenizer"
            )
        self._model = masked_lm
        self._candidates = candidates
        self._mask = tokenizer.mask_token_id if mode == "masked" else None
        self._pad = tokenizer.pad_token_id or 0
        self._batch_tokens = batch_tokens
        self._replacements = replacements
        self._entries = torch.tensor(list(replacements))
        self._words = list(replacements.values())
        # The word itself and the word as the tokenizer normalises it (without its accents) may lead the
        # ranking, and every word may be there in several cases.
        cases = max(Counter(word.lower() for word in self._words).values())
        self._ranked = min(len(self._words), (candidates + 2) * cases)

    def find(self, texts: Sequence[tuple[Sequence[int], Mapping[int, str]]]) -> list[dict[int, list[str]]]:
        """The best replacements at the given positions of each text, best first, at most K.

        No special token, no piece that continues a word, nothing but letters (with inner apostrophes and
        hyphens), not the word itself, and no two that differ only in case.

        Args:
            texts: the token ids of each text, and position -> the word there, as the text has it.
        """
        rows: dict[_Row, int] = {}
        places = []
        for ids, words in texts:
            row_of: dict[int, tuple[int, int]] = {}
            for row in self._rows(tuple(ids), tuple(words)):
                index = rows.setdefault(row, len(rows))
                row_of |= {position: (index, slot) for slot, position in enumerate(row.positions)}
            places.append(row_of)
        ranked = self._rank(list(rows))
        return [
            {
                position: self._choose(ranked[row][slot], words[position], ids[position])
                for position, (row, slot) in row_of.items()
            }
            for (ids, words), row_of in zip(texts, places, strict=True)
        ]

    def _rows(self, ids: tuple[int, ...], positions: tuple[int, ...]) -> Iterator[_Row]:
        if self._mask is None:
            if positions:
                yield _Row(ids, positions)
            return
        for position in positions:
            yield _Row((*ids[:position], self._mask, *ids[position + 1 :]), (position,))

    def _choose(self, ranked: list[int], word: str, piece: int) -> list[str]:
        taken = {word.lower(), self._replacements.get(piece, word).lower()}
        chosen = []
        for index in ranked:
            candidate = self._words[index]
            lowered = candidate.lower()
            if lowered not in taken:
                taken.add(lowered)
                chosen.append(candidate)
                if len(chosen) == self._candidates:
                    break
        return chosen

    @torch.inference_mode()
    def _rank(self, rows: Sequence[_Row]) -> list[list[list[int]]]:
        """Indices of the best entries, best first, for each position of each row."""
        ranked: list[list[list[int]]] = [[] for _ in rows]
        was_training = self._model.training
        self._model.eval()
        try:
            for batch in self._batches(rows):
                logits = self._logits([rows[index] for index in batch])
                best = (
                    logits.index_select(1, self._entries.to(logits.device))
                    .topk(self._ranked)
                    .indices.tolist()
                )
                first = 0
                for index in batch:
                    last = first + len(rows[index].positions)
                    ranked[index] = best[first:last]
                    first = last
        finally:
            self._model.train(was_training)
        return ranked

    def _batches(self, rows: Sequence[_Row]) -> Iterator[list[int]]:
        """Indices of the rows that run together: rows of like length, in the order of their lengths."""
        batch: list[int] = []
        longest = positions = 0
        for index in sorted(range(len(rows)), key=lambda index: len(rows[index].ids)):
            tokens, wanted = len(rows[index].ids), len(rows[index].positions)
            if batch and (
                (len(batch) + 1) * tokens > self._batch_tokens
                or len(batch) * (tokens - longest) > self._batch_tokens * _PADDING
                or (positions + wanted) * self._model.config.vocab_size > _BATCH_LOGITS
            ):
                yield batch
                batch, positions = [], 0
            batch.append(index)
            longest = tokens
            positions += wanted
        if batch:
            yield batch

    def _logits(self, rows: Sequence[_Row]) -> Tensor:
        """(P, V) for the positions of all rows, one row's after the other's."""
        device = self._model.device
        longest = max(len(row.ids) for row in rows)
        ids = torch.tensor([row.ids + (self._pad,) * (longest - len(row.ids)) for row in rows], device=device)
        lengths = torch.tensor([len(row.ids) for row in rows], device=device)
        mask = torch.arange(longest, device=device) < lengths[:, None]
        in_row = torch.tensor([number for number, row in enumerate(rows) for _ in row.positions])
        position = torch.tensor([position for row in rows for position in row.positions])
        return logits_at(self._model, {"input_ids": ids, "attention_mask": mask.long()}, in_row, position)


def replacement_entries(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The vocabulary entries that are whole words: id -> the word, in the order of the ids.

    An entry counts if it begins a word in the tokenizer's convention (it has the mark of a space before it in
    byte-level BPE and SentencePiece, and not the mark of a continued word in WordPiece) and is made of
    letters, with inner apostrophes and hyphens. Special and added tokens do not count.

    Raises:
        ModelError: there is none.
    """
    backend = tokenizer.backend_tokenizer
    added = backend.get_added_tokens_decoder()
    vocabulary = {token: index for token, index in backend.get_vocab().items() if index not in added}
    # BPE has this attribute as well, and may use it; Unigram has not.
    continued = getattr(backend.model, "continuing_subword_prefix", None)
    if continued:
        words = {index: token for token, index in vocabulary.items() if not token.startswith(continued)}
    else:
        marks = Counter(token[:1] for token in vocabulary)
        mark = max(_BYTE_LEVEL_SPACE, _METASPACE, key=lambda mark: marks[mark])
        words = {index: token for token, index in vocabulary.items() if token.startswith(mark)}
        if mark == _BYTE_LEVEL_SPACE:
            decoder = decoders.ByteLevel()
            words = {index: decoder.decode([token])[1:] for index, token in words.items()}
        else:
            words = {index: token[1:] for index, token in words.items()}
    words = {index: words[index] for index in sorted(words) if is_word(words[index])}
    if not words:
        raise ModelError(
            f"none of the tokenizer's {len(vocabulary)} entries is known to be a whole word, so that nothing "
            "can replace a word; expected a WordPiece, byte-level BPE or SentencePiece tokenizer"
        )
    return words
