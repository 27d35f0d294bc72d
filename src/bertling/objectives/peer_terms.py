"""Terms of other methods than TinyBERT: vanilla distillation, DistilBERT, PKD, MiniLM, MiniLMv2.

B batch, T tokens, D width, P positions that are guessed, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from bertling.objectives import peer_losses, span_losses
from bertling.objectives.layer_map import LayerMap
from bertling.objectives.relations import distribution_loss, relation_heads, relation_loss
from bertling.objectives.terms import (
    StatesTerm,
    Term,
    logits_of,
    scores_of,
    soft_loss,
    teacher_of,
    window_of_both,
)
from bertling.states import EncoderStates, Parts


class SoftTargetTerm(Term):
    """Soft cross-entropy times t^2, to be mixed with labels; the squared difference for regression."""

    def __init__(self, *, temperature: float = 1.0, multi_label: bool = False, spans: bool = False) -> None:
        super().__init__(Parts(logits=True), Parts(logits=True))
        self.temperature = temperature
        self.multi_label = multi_label
        self.spans = spans

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        ours, other = logits_of(student, "student"), logits_of(teacher_of(teacher, "soft_targets"), "teacher")
        if self.spans:
            loss = span_losses.span_prediction_loss(ours, other, student.mask, temperature=self.temperature)
            return {"soft_targets": loss * self.temperature**2}
        loss = soft_loss(
            ours,
            other,
            labels,
            temperature=self.temperature,
            multi_label=self.multi_label,
            term="soft_targets",
        )
        if ours.shape[-1] == 1:
            return {"soft_targets": loss}
        return {"soft_targets": loss * self.temperature**2}


class CosineTerm(StatesTerm):
    """DistilBERT's cosine loss of hidden states."""

    name = "cosine"

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        return peer_losses.cosine_loss(student, teacher, mask)


class PatientTerm(StatesTerm):
    """PKD's patient loss of normalised [CLS] states; the paper's layers are without the student's last one.

    Its projections are fitted to all tokens, of which there are more than of [CLS] tokens.
    """

    name = "patient_states"

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        return peer_losses.patient_loss(student[:, 0], teacher[:, 0])


class AttentionDistributionTerm(Term):
    """MiniLM's first loss: KL divergence of the attention distributions, by head."""

    def __init__(self, layers: LayerMap) -> None:
        super().__init__(Parts(attention=frozenset(layers)), Parts(attention=frozenset(layers.values())))
        self.layers = dict(layers)

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        teacher = teacher_of(teacher, "attention_distributions")
        losses = {}
        for mine, theirs in self.layers.items():
            ours, other = student.attention[mine], teacher.attention[theirs]
            losses[f"attention_distributions.{mine}"] = distribution_loss(
                scores_of(ours, student.mask),
                scores_of(other, student.mask),
                student.mask,
                window=window_of_both(ours, other),
            )
        return losses


class ValueRelationTerm(Term):
    """MiniLM's second loss: KL divergence of the relations between values, by head."""

    def __init__(self, layers: LayerMap) -> None:
        super().__init__(Parts(values=frozenset(layers)), Parts(values=frozenset(layers.values())))
        self.layers = dict(layers)

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        teacher = teacher_of(teacher, "value_relations")
        return {
            f"value_relations.{mine}": relation_loss(
                student.attention[mine].value, teacher.attention[theirs].value, student.mask
            )
            for mine, theirs in self.layers.items()
        }


class SelfRelationTerm(Term):
    """MiniLMv2's loss: KL divergence of query, key and value relations, by relation head."""

    def __init__(self, layers: LayerMap) -> None:
        mine, theirs = frozenset(layers), frozenset(layers.values())
        super().__init__(Parts(attention=mine, values=mine), Parts(attention=theirs, values=theirs))
        self.layers = dict(layers)

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        teacher = teacher_of(teacher, "self_relations")
        losses = {}
        for mine, theirs in self.layers.items():
            ours, other = student.attention[mine], teacher.attention[theirs]
            widths = (state.query.shape[1] * state.query.shape[3] for state in (ours, other))
            heads = relation_heads(*widths)
            for what in ("query", "key", "value"):
                losses[f"self_relations_{what}.{mine}"] = relation_loss(
                    getattr(ours, what), getattr(other, what), student.mask, heads=heads
                )
        return losses
