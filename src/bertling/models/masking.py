"""Which tokens of a text a masked language model has to guess, and what it sees in their place.

B batch, T tokens, P guesses, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bertling.data.examples import UNLABELLED
from bertling.errors import ModelError

_MASKED = 0.15
# Tokens more frequent than this are guessed less often, as word2vec reads them (Mikolov et al. 2013,
# arXiv:1310.4546, section 2.3): what is asked of the head later are content words.
_FREQUENT = 1e-4

# Of the tokens that are to be guessed, as for BERT (Devlin et al. 2019, section 3.1): the mask token, any
# other token, and the rest unchanged. With the mask token alone the head would never see the state of a word
# that is there, which is what augmentation's unmasked mode asks it about.
_SHOWN_MASKED, _SHOWN_RANDOM = 0.8, 0.1


class Guesses(NamedTuple):
    """What a masked LM reads, and what it should say.

    Attributes:
        ids: (B, T) token ids, some of them replaced.
        rows, columns: (P,) where, in the order of the text.
        targets: (P,) the token ids that stood there.
    """

    ids: Tensor
    rows: Tensor
    columns: Tensor
    targets: Tensor


class Masking:
    """Chooses the tokens to guess; special tokens and padding are never among them.

    Args:
        tokenizer: the model's own.
        ids: token ids of text, that frequencies are counted on.

    Attributes:
        shares: (V,) each token's share of what is guessed, smoothed.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ids: npt.NDArray[Any]) -> None:
        self._mask = _mask_token(tokenizer)
        self._special = torch.tensor(tokenizer.all_special_ids)
        self._others = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        counts = np.bincount(ids, minlength=len(tokenizer))
        counts[tokenizer.all_special_ids] = 0
        # One is added, so that no weight is zero and no share's logarithm infinite.
        frequencies = (counts + 1) / (counts + 1).sum()
        self._weights = np.minimum(1, np.sqrt(_FREQUENT / frequencies))
        self.shares = frequencies * self._weights / (frequencies * self._weights).sum()

    def hide(
        self, batch: Mapping[str, Tensor], random: np.random.Generator, *, all_masked: bool = False
    ) -> Guesses:
        """Replace 15% of the tokens, or one if there are few; with ``all_masked`` by the mask token alone."""
        ids = batch["input_ids"]
        maskable = batch["attention_mask"].bool() & ~torch.isin(ids, self._special)
        rows, columns = torch.nonzero(maskable, as_tuple=True)
        many = min(len(rows), max(1, round(_MASKED * len(rows))))
        # The smallest of exponential numbers, divided by weights, are a weighted draw without replacement.
        waits = random.exponential(size=len(rows)) / self._weights[ids[rows, columns].numpy()]
        chosen = torch.from_numpy(np.sort(np.argsort(waits)[:many]))
        rows, columns = rows[chosen], columns[chosen]
        targets = ids[rows, columns]
        kind = torch.from_numpy(random.random(many))
        anything = torch.from_numpy(random.choice(self._others, many))
        shown = torch.where(kind < _SHOWN_MASKED + _SHOWN_RANDOM, anything, targets)
        shown[(kind < _SHOWN_MASKED) | torch.tensor(all_masked)] = self._mask
        hidden = ids.clone()
        hidden[rows, columns] = shown
        return Guesses(hidden, rows, columns, targets)


class RowMasking:
    """BERT's masking (Devlin et al. 2019, section 3.1), of a text at a time, and another one each epoch.

    What is hidden is a function of seed, epoch and row, so that neither batches nor processes nor a resume
    change it. Of each text 15% of the tokens are hidden, or one if there are few, all of them as likely;
    special tokens never are.

    Args:
        tokenizer: the model's own.
        seed: of what is hidden.

    Raises:
        ModelError: the tokenizer has no mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> None:
        self._mask = _mask_token(tokenizer)
        self._special = np.asarray(tokenizer.all_special_ids)
        self._others = np.setdiff1d(np.arange(len(tokenizer)), self._special)
        self._seed = seed

    def __call__(self, item: Mapping[str, Any], *, row: int, epoch: int) -> dict[str, Any]:
        """A row of `TokenRows` with tokens hidden, and with ``labels``.

        These are (T,) int64: the ids of the hidden tokens, and -100 everywhere else. In a packed row each of
        its texts is masked by itself.
        """
        ids = np.array(item["input_ids"])
        labels = np.full(len(ids), UNLABELLED)
        random = np.random.default_rng([self._seed, epoch, row])
        ends = np.cumsum(item.get("piece_lengths", [len(ids)]))
        for piece in np.split(np.arange(len(ids)), ends[:-1]):
            maskable = piece[~np.isin(ids[piece], self._special)]
            many = min(len(maskable), max(1, round(_MASKED * len(maskable))))
            chosen = random.choice(maskable, many, replace=False) if many else maskable
            labels[chosen] = ids[chosen]
            kind, anything = random.random(many), random.choice(self._others, many)
            ids[chosen] = np.select(
                [kind < _SHOWN_MASKED, kind < _SHOWN_MASKED + _SHOWN_RANDOM],
                [self._mask, anything],
                ids[chosen],
            )
        return {**item, "input_ids": ids, "labels": labels}


def _mask_token(tokenizer: PreTrainedTokenizerBase) -> int:
    if tokenizer.mask_token_id is None:
        raise ModelError(
            f"{type(tokenizer).__name__} has no mask token, so there is nothing to learn a masked-LM "
            "head with; give the tokenizer of a model that was pretrained with one"
        )
    token: int = tokenizer.mask_token_id
    return token
