"""Masked-LM pretraining as terms: BERT's own loss, and a teacher's guesses as soft targets.

They read texts in which tokens are hidden; the labels of such a batch are (B, T), the ids of the hidden
tokens, and -100 everywhere else.

B batch, T tokens, D width, E width of the embedding table, P positions that are guessed, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bertling.data.examples import UNLABELLED
from bertling.errors import ModelError
from bertling.objectives import peer_losses
from bertling.objectives.terms import Term, teacher_of
from bertling.states import EncoderStates, Parts

Head = Callable[[Tensor], Tensor]
"""(P, D) states of an encoder's last layer -> (P, V) logits"""


class MaskedLMHead(nn.Module):
    """BERT's masked-LM head: a dense layer, GELU, LayerNorm, and the embedding table as the last layer.

    It trains with the student and is no part of it: the table is the student's own, and all else is left
    behind with the objective, as projections are.

    Args:
        width: D.
        table: (V, E), the student's input embeddings.
    """

    def __init__(self, width: int, table: nn.Embedding) -> None:
        super().__init__()
        self.dense = nn.Linear(width, table.embedding_dim)
        self.norm = nn.LayerNorm(table.embedding_dim)
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings))
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)
        # A list hides the table from torch's registration: it is saved with the student alone.
        self._table = [table]

    def forward(self, states: Tensor) -> Tensor:
        """(P, D) -> (P, V)."""
        transformed: Tensor = self.norm(functional.gelu(self.dense(states)))
        return functional.linear(transformed, self._table[0].weight, self.bias)


class MaskedLMTerm(Term):
    """Cross-entropy of the hidden tokens: no teacher.

    Args:
        layer: the student's last.
        head: of the student; it trains with this term.
    """

    def __init__(self, layer: int, head: MaskedLMHead) -> None:
        super().__init__(Parts(hidden=frozenset([layer])), Parts())
        self.layer = layer
        self.head = head

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        rows, columns, targets = _guessed(labels, student)
        logits = self.head(student.hidden[self.layer][rows, columns])
        return {
            "masked_lm": peer_losses.masked_lm_loss(logits, targets, rows, examples=len(student.mask)),
        }


class SoftMaskedLMTerm(Term):
    """What the teacher guesses of the same hidden tokens, as soft targets: DistilBERT's distillation loss.

    Args:
        layer: the student's last.
        teacher_layer: the teacher's last.
        student_head: the head of a `MaskedLMTerm`, which trains it.
        teacher_head: of the teacher.
        temperature: of both sides' guesses.
    """

    def __init__(
        self,
        layer: int,
        teacher_layer: int,
        *,
        student_head: MaskedLMHead,
        teacher_head: Head,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(Parts(hidden=frozenset([layer])), Parts(hidden=frozenset([teacher_layer])))
        self.layer = layer
        self.teacher_layer = teacher_layer
        self.temperature = temperature
        # Neither is this term's to train or to save.
        self._heads = (student_head, teacher_head)

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        teacher = teacher_of(teacher, "soft_masked_lm")
        rows, columns, _ = _guessed(labels, student)
        student_head, teacher_head = self._heads
        with torch.no_grad():
            theirs = teacher_head(teacher.hidden[self.teacher_layer][rows, columns])
        ours = student_head(student.hidden[self.layer][rows, columns])
        return {
            "soft_masked_lm": peer_losses.soft_masked_lm_loss(
                ours, theirs, rows, examples=len(student.mask), temperature=self.temperature
            )
        }


def _guessed(labels: Tensor | None, student: EncoderStates) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and token ids, (P,) each."""
    if labels is None or labels.shape != student.mask.shape:
        raise ModelError(
            "a masked-LM term needs texts in which tokens are hidden, and the batch is not one of them; "
            "give the trainer a masking"
        )
    rows, columns = torch.nonzero(labels != UNLABELLED, as_tuple=True)
    return rows, columns, labels[rows, columns]
