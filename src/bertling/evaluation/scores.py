"""What a model predicts on a whole set.

N examples, C classes, W words of the longest example.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.collation import PadToLongest
from bertling.data.tokenization import TokenizedTexts
from bertling.objectives.sentence_losses import pair_cosines, text_embeddings


@torch.inference_mode()
def predict_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: TokenizedTexts, *, batch_size: int = 64
) -> npt.NDArray[np.float32]:
    """Logits of every example, (N, C), in the order of the examples; of labelled words (N, W, C).

    There, what stands behind the last word, or for a word that was cut off, is NaN. Of pairs whose texts are
    encoded apart, the cosine of the two embeddings, (N, 1).

    Args:
        model: with a head, or for such pairs an encoder; it is put in eval mode.
        tokenizer: for padding.
        texts: N tokenised texts; they run in order of length, so that little is padded.
        batch_size: examples at a time.
    """
    model.eval()
    collate = PadToLongest(tokenizer)
    order = np.argsort(texts.lengths, kind="stable")
    rows = []
    for start in range(0, len(order), batch_size):
        batch = collate([texts[int(index)] for index in order[start : start + batch_size]])
        batch.pop("labels", None)
        batch = {name: value.to(model.device) for name, value in batch.items()}
        output = model(**batch)
        if texts.apart:
            mask = batch["attention_mask"].bool()
            logits = pair_cosines(text_embeddings(output.last_hidden_state, mask))[:, None]
        else:
            logits = output.logits
        rows.append(logits.float().cpu().numpy())
    if texts.word_counts is not None:
        return _of_words(rows, order.tolist(), texts, batch_size)
    whole = np.empty((len(order), rows[0].shape[1]), dtype=np.float32)
    whole[order] = np.concatenate(rows)
    return whole


def _of_words(
    batches: list[npt.NDArray[np.float32]], order: list[int], texts: TokenizedTexts, batch_size: int
) -> npt.NDArray[np.float32]:
    """(N, W, C) from the batches' logits of tokens: those of the first piece of each word."""
    assert texts.word_counts is not None
    longest = int(texts.word_counts.max())
    logits = np.full((len(order), longest, batches[0].shape[2]), np.nan, dtype=np.float32)
    for place, row in enumerate(order):
        words = texts[row]["word_starts"]
        begins = np.flatnonzero(words >= 0)
        logits[row, words[begins]] = batches[place // batch_size][place % batch_size, begins]
    return logits


def predictions(
    logits: npt.NDArray[np.float32], *, regression: bool, multi_label: bool = False
) -> npt.NDArray[np.float32 | np.int64]:
    """What the logits answer.

    Args:
        logits: (N, C), or (N, W, C) of words.
        regression: the answers are numbers.
        multi_label: a text has every label whose probability is above a half.

    Returns:
        Class ids, or numbers, (N,); class ids of words (N, W), -1 where there is no answer; or 0 and 1 for
        each of several labels, (N, C).
    """
    if logits.ndim == 3:
        return np.where(np.isnan(logits).any(-1), -1, logits.argmax(-1))
    if multi_label:
        return (logits > 0).astype(np.int64)
    return logits[:, 0] if regression else logits.argmax(1)


def probabilities(logits: npt.NDArray[np.float32], *, multi_label: bool = False) -> npt.NDArray[np.float32]:
    """Softmax over classes, (N, C) or (N, W, C); of several labels the probability of each."""
    if multi_label:
        each: npt.NDArray[np.float32] = expit(logits)
        return each
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    normalised: npt.NDArray[np.float32] = shifted / shifted.sum(-1, keepdims=True)
    return normalised
