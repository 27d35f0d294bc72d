"""What a model predicts on a whole set.

N examples, C classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.collation import PadToLongest
from bertling.data.tokenization import TokenizedTexts


@torch.inference_mode()
def predict_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: TokenizedTexts, *, batch_size: int = 64
) -> npt.NDArray[np.float32]:
    """Logits of every example, (N, C), in the order of the examples.

    Args:
        model: with a head; it is put in eval mode.
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
        output = model(**{name: value.to(model.device) for name, value in batch.items()})
        rows.append(output.logits.float().cpu().numpy())
    logits = np.empty((len(order), rows[0].shape[1]), dtype=np.float32)
    logits[order] = np.concatenate(rows)
    return logits


def predictions(logits: npt.NDArray[np.float32], *, regression: bool) -> npt.NDArray[np.float32 | np.int64]:
    """Class ids, or numbers for regression, (N,), from logits (N, C)."""
    return logits[:, 0] if regression else logits.argmax(1)


def probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Softmax over classes, (N, C)."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    normalised: npt.NDArray[np.float32] = shifted / shifted.sum(1, keepdims=True)
    return normalised
