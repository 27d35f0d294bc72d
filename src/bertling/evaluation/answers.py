"""What a model answers to questions: the best part of each context, over all of its windows.

B batch, T tokens, N questions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.collation import PadToLongest
from bertling.data.tokenization import TokenizedTexts
from bertling.errors import ModelError
from bertling.evaluation.answer_scores import PREDICTED, Predicted

MOST_ANSWER_TOKENS = 30
"""as in SQuAD's baselines since BERT (Devlin et al. 2019)"""


@torch.inference_mode()
def answer_questions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: TokenizedTexts,
    contexts: Sequence[str],
    *,
    unanswerable: bool,
    batch_size: int = 64,
) -> Predicted:
    """A model's answer to each question, (N,), as Devlin et al. 2019, sections 4.2 and 4.3, choose it.

    The score of a text is the logit of its first token as a start plus that of its last as an end; the best
    one of at most 30 tokens is taken, over all windows. The score of no answer is that of the first token as
    both, in the window where it is smallest.

    Args:
        model: a model that answers questions; it is put in eval mode.
        tokenizer: for padding.
        rows: from `tokenize_questions`; they run in order of length, so that little is padded.
        contexts: N.
        unanswerable: whether no answer can be one.
        batch_size: rows at a time.

    Raises:
        ModelError: logits that are NaN or infinite, which answer nothing.
    """
    assert rows.owners is not None
    model.eval()
    collate = PadToLongest(tokenizer)
    order = np.argsort(rows.lengths, kind="stable")
    best = _Best(len(contexts))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        items = [rows[int(index)] for index in chosen]
        batch = collate(items)
        batch.pop("labels", None)
        output = model(**{name: value.to(model.device) for name, value in batch.items()})
        logits = [values.float().cpu().numpy() for values in (output.start_logits, output.end_logits)]
        for place, (index, item) in enumerate(zip(chosen.tolist(), items, strict=True)):
            starts, ends = (values[place, : len(item["input_ids"])].astype(np.float64) for values in logits)
            best.add(int(rows.owners[index]), starts, ends, item["characters"])
    if best.unanswered:
        raise ModelError(
            f"{model.name_or_path}: NaN or infinite outputs for {best.unanswered:,} of {len(contexts):,} "
            "questions. Look for a training run that diverged, or for weights in half precision that overflow"
        )
    return best.answers(contexts, unanswerable=unanswerable)


def best_span(
    starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], allowed: npt.NDArray[np.bool_]
) -> tuple[float, int, int]:
    """Score, first and last token of the best span of at most 30 tokens; -inf if none is allowed.

    Args:
        starts, ends: (T,) logits.
        allowed: (T,) tokens that a span may begin and end with.
    """
    scores = np.where(allowed, starts, -np.inf)[:, None] + np.where(allowed, ends, -np.inf)[None]
    places = np.arange(len(starts))
    more = places[None] - places[:, None]
    scores = np.where((more >= 0) & (more < MOST_ANSWER_TOKENS), scores, -np.inf)
    place = int(scores.argmax())
    begin, end = place // len(starts), place % len(starts)
    return float(scores[begin, end]), begin, end


class _Best:
    """The best answer to each question so far, and the least score of having none."""

    def __init__(self, count: int) -> None:
        self._scores = np.full(count, -np.inf)
        self._nulls = np.full(count, np.inf)
        self._characters = np.zeros((count, 2), dtype=np.int64)
        # Logarithms of what the model finds likely, in the window that each is from.
        self._likely = np.full((count, 2), -np.inf)
        self._broken: set[int] = set()

    @property
    def unanswered(self) -> int:
        """Questions with outputs that are not finite."""
        return len(self._broken)

    def add(
        self,
        question: int,
        starts: npt.NDArray[np.float64],
        ends: npt.NDArray[np.float64],
        characters: npt.NDArray[np.int32],
    ) -> None:
        """Take a window into account."""
        if not (np.isfinite(starts).all() and np.isfinite(ends).all()):
            self._broken.add(question)
            return
        total = np.logaddexp.reduce(starts) + np.logaddexp.reduce(ends)
        score, begin, end = best_span(starts, ends, characters[:, 0] >= 0)
        if score > self._scores[question]:
            self._scores[question] = score
            self._characters[question] = characters[begin, 0], characters[end, 1]
            self._likely[question, 0] = score - total
        if (null := starts[0] + ends[0]) < self._nulls[question]:
            self._nulls[question] = null
            self._likely[question, 1] = null - total

    def answers(self, contexts: Sequence[str], *, unanswerable: bool) -> Predicted:
        """(N,)."""
        found = np.empty(len(contexts), dtype=PREDICTED)
        found["text"] = [
            context[begin:end].strip()
            for context, (begin, end) in zip(contexts, self._characters.tolist(), strict=True)
        ]
        found["null_odds"] = self._nulls - self._scores if unanswerable else -np.inf
        found["confidence"] = np.exp(np.where(found["null_odds"] > 0, self._likely[:, 1], self._likely[:, 0]))
        return found
