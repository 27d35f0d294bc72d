"""What benchmarks/distillation.py compares with: a step of distillation as the original code takes it.

Every batch is padded to the stage's maximum length. All attention scores of both models are made and kept,
in float32, before the softmax; the mean squared errors are taken over whole tensors, padding included, and
scores of padding are set to zero where the mask has made them tiny. The teacher runs at every step. What is
not the method is as a careful user of today's torch has it: fused matrix products, AdamW as torch has it.

B batch, T tokens, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

PLAIN = "plain_reference"


def plain_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float = 1.0,
    kept: list[Tensor] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    scores = query @ key.mT * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    if kept is not None:
        kept.append(scores)
    weights = functional.dropout(scores.softmax(-1), dropout, module.training)
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(PLAIN, plain_attention)
AttentionMaskInterface.register(PLAIN, eager_mask)


class PlainDistillation:
    """A training loop's step.

    Args:
        student, teacher: classifiers of the BERT architecture; both are changed to the plain attention.
        projections: (D_s -> D_t), one for the embedding and for each layer of the student.
        intermediate: the transformer losses; else the prediction loss alone.
        learning_rate: of AdamW.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        teacher: PreTrainedModel,
        projections: Sequence[nn.Module],
        *,
        intermediate: bool,
        learning_rate: float = 5e-5,
    ) -> None:
        for model in (student, teacher):
            model.set_attn_implementation(PLAIN)
        self._student, self._teacher = student, teacher.eval()
        self._projections = nn.ModuleList(projections)
        self._intermediate = intermediate
        self._optimizer = torch.optim.AdamW(
            [*student.parameters(), *self._projections.parameters()], lr=learning_rate
        )

    def step(self, batch: Mapping[str, Tensor]) -> float:
        """Loss, gradient, and a step of the optimizer."""
        loss = self.loss(batch)
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.item()

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """A batch's mean: of token ids, mask and segments, (B, T) each."""
        ours = _run(self._student, batch)
        with torch.no_grad():
            theirs = _run(self._teacher, batch)
        if not self._intermediate:
            likelihood = functional.log_softmax(ours.logits, -1)
            return -(theirs.logits.softmax(-1) * likelihood).sum(-1).mean()
        every = self._teacher.config.num_hidden_layers // self._student.config.num_hidden_layers
        loss = torch.zeros(())
        for own, other in zip(ours.scores, theirs.scores[every - 1 :: every], strict=True):
            zero = torch.zeros_like(own)
            loss = loss + functional.mse_loss(
                torch.where(own <= -1e2, zero, own), torch.where(other <= -1e2, zero, other)
            )
        for project, own, other in zip(self._projections, ours.states, theirs.states[::every], strict=True):
            loss = loss + functional.mse_loss(project(own), other)
        return loss


class _Shown:
    """What a model shows of a batch: scores (B, H, T, T), embedding and hidden states (B, T, D), logits."""

    def __init__(self, scores: list[Tensor], output: Any) -> None:
        self.scores = scores
        self.states: Sequence[Tensor] = output.hidden_states
        self.logits: Tensor = output.logits


def _run(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> _Shown:
    scores: list[Tensor] = []
    output = model(**batch, kept=scores, output_hidden_states=True)
    return _Shown(scores, output)


def padded_batches(
    rows: Iterable[Mapping[str, Any]], *, length: int, batch_size: int
) -> list[dict[str, Tensor]]:
    """Token rows in their order, each padded to ``length``; a last batch that is not full is left out."""
    filled = []
    for row in rows:
        ids = torch.as_tensor(row["input_ids"], dtype=torch.int64)
        segments = torch.as_tensor(row.get("token_type_ids", [0] * len(ids)), dtype=torch.int64)
        padding = (0, length - len(ids))
        mask = functional.pad(torch.ones_like(ids), padding)
        filled.append((functional.pad(ids, padding), mask, functional.pad(segments, padding)))
    batches = []
    for start in range(0, len(filled) - batch_size + 1, batch_size):
        ids, mask, segments = map(torch.stack, zip(*filled[start : start + batch_size], strict=True))
        batches.append({"input_ids": ids, "attention_mask": mask, "token_type_ids": segments})
    return batches
