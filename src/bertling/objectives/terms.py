"""Terms of an objective: each compares what two encoders show, and returns losses by name, one per example.

B batch. A name reads ``hidden.2``: the term, then the student layer where the term has layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from bertling.errors import ModelError, ShapeError
from bertling.objectives import functional, label_kinds, span_losses
from bertling.objectives.layer_map import LayerMap
from bertling.objectives.projection import Projection
from bertling.states import AttentionState, EncoderStates, Parts


class Term(nn.Module, ABC):
    """One kind of loss.

    Args:
        student_parts: what it reads of the student.
        teacher_parts: what it reads of the teacher; nothing for a term that reads labels alone.
    """

    def __init__(self, student_parts: Parts, teacher_parts: Parts) -> None:
        super().__init__()
        self.student_parts = student_parts
        self.teacher_parts = teacher_parts

    @abstractmethod
    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        """Losses by name, each (B,), unweighted."""

    def projected(
        self, student: EncoderStates, teacher: EncoderStates
    ) -> Mapping[Projection, tuple[Tensor, Tensor]]:
        """What each projection has to bring together: (B, T, D_s) and (B, T, D_t); empty for most terms."""
        return {}


class EmbeddingTerm(Term):
    """Embedding loss, the paper's equation 9: MSE(E_s W_e, E_t)."""

    def __init__(self, *, student_width: int, teacher_width: int) -> None:
        super().__init__(Parts(embedding=True), Parts(embedding=True))
        self.projection = Projection(student_width, teacher_width)

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        teacher = teacher_of(teacher, "embedding")
        return {
            "embedding": functional.state_loss(
                self.projection(student.embedding), teacher.embedding, student.mask
            )
        }

    def projected(
        self, student: EncoderStates, teacher: EncoderStates
    ) -> Mapping[Projection, tuple[Tensor, Tensor]]:
        return {self.projection: (student.embedding, teacher.embedding)}


class StatesTerm(Term):
    """Compares hidden states layer by layer, with a projection of its own for each.

    Args:
        layers: student layer -> teacher layer.
        student_width: D_s.
        teacher_width: D_t.
    """

    name: ClassVar[str]

    def __init__(self, layers: LayerMap, *, student_width: int, teacher_width: int) -> None:
        super().__init__(Parts(hidden=frozenset(layers)), Parts(hidden=frozenset(layers.values())))
        self.layers = dict(layers)
        self.projections = nn.ModuleDict(
            {str(layer): Projection(student_width, teacher_width) for layer in layers}
        )

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """(B,) from states (B, T, D), the student's projected."""

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        teacher = teacher_of(teacher, self.name)
        return {
            f"{self.name}.{mine}": self.compare(
                self.projections[str(mine)](student.hidden[mine]), teacher.hidden[theirs], student.mask
            )
            for mine, theirs in self.layers.items()
        }

    def projected(
        self, student: EncoderStates, teacher: EncoderStates
    ) -> Mapping[Projection, tuple[Tensor, Tensor]]:
        pairs = {}
        for mine, theirs in self.layers.items():
            projection = self.projections[str(mine)]
            assert isinstance(projection, Projection)
            pairs[projection] = (student.hidden[mine], teacher.hidden[theirs])
        return pairs


class HiddenTerm(StatesTerm):
    """Hidden loss, the paper's equation 8: MSE(H_s W_h, H_t), with a W_h of its own for each layer."""

    name = "hidden"

    def compare(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        return functional.state_loss(student, teacher, mask)


class AttentionTerm(Term):
    """Attention loss, the paper's equation 7: MSE of the scores before softmax, by head.

    Args:
        layers: student layer -> teacher layer.
        heads: teacher layer -> its heads, from 1, that count, such as all but no-op heads (Clark et al. 2019,
            section 3.2). All count of a layer that is not named; one with none is left out.

    Raises:
        ShapeError: no layer has a head that counts.
    """

    def __init__(self, layers: LayerMap, *, heads: Mapping[int, Collection[int]] | None = None) -> None:
        counted = {layer: tuple(some) for layer, some in (heads or {}).items()}
        kept = {mine: theirs for mine, theirs in layers.items() if counted.get(theirs) != ()}
        if not kept:
            raise ShapeError(
                f"no head of the teacher's layers {sorted(set(layers.values()))} counts, so the attention "
                "loss has nothing to compare: let some count, or leave the term attention out"
            )
        super().__init__(Parts(attention=frozenset(kept)), Parts(attention=frozenset(kept.values())))
        self.layers = kept
        self.heads = counted

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        teacher = teacher_of(teacher, "attention")
        losses = {}
        for mine, theirs in self.layers.items():
            losses[f"attention.{mine}"] = _attention_loss(
                student.attention[mine],
                teacher.attention[theirs],
                student.mask,
                teacher_heads=self.heads.get(theirs),
            )
        return losses


class PredictionTerm(Term):
    """Prediction loss, the paper's equation 10: soft cross-entropy; the squared difference for regression.

    Of labelled words, the mean over them; of several labels, the sum over these (`label_kinds`); of answers,
    the sum of starts and ends (`span_losses`).
    """

    def __init__(self, *, temperature: float = 1.0, multi_label: bool = False, spans: bool = False) -> None:
        super().__init__(Parts(logits=True), Parts(logits=True))
        self.temperature = temperature
        self.multi_label = multi_label
        self.spans = spans

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        ours, other = logits_of(student, "student"), logits_of(teacher_of(teacher, "prediction"), "teacher")
        if self.spans:
            loss = span_losses.span_prediction_loss(ours, other, student.mask, temperature=self.temperature)
            return {"prediction": loss}
        loss = soft_loss(
            ours, other, labels, temperature=self.temperature, multi_label=self.multi_label, term="prediction"
        )
        return {"prediction": loss}


class LabelTerm(Term):
    """Cross-entropy with the data's labels, or squared error for regression: no teacher.

    Of labelled words, the mean over them; of several labels, the sum over these; of answers, the sum of
    starts and ends.

    Args:
        class_weights: (C,), by which a class's examples, or words, count more or less; not of several labels.
        spans: the labels are first and last token of answers.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Tensor | None = None, *, spans: bool = False) -> None:
        super().__init__(Parts(logits=True), Parts())
        self.spans = spans
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(
        self, student: EncoderStates, teacher: EncoderStates | None, labels: Tensor | None
    ) -> dict[str, Tensor]:
        if labels is None:
            raise ModelError("the term 'labels' needs labelled data, and the batch has no labels")
        logits = logits_of(student, "student")
        if self.spans:
            return {"labels": span_losses.span_label_loss(logits, labels, student.mask)}
        if logits.dim() == 3:
            return {"labels": label_kinds.over_labelled_tokens(self._loss, logits, labels, labels)}
        if labels.dim() == 2:
            return {"labels": label_kinds.multi_label_loss(logits, labels)}
        return {"labels": self._loss(logits, labels)}

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = functional.label_loss(logits, labels)
        if self.class_weights is None:
            return losses
        return label_kinds.class_weighted(losses, labels, self.class_weights)


def _attention_loss(
    student: AttentionState, teacher: AttentionState, mask: Tensor, *, teacher_heads: Collection[int] | None
) -> Tensor:
    """(B,), over the pairs of tokens that both models compare."""
    window = window_of_both(student, teacher)
    if student.scores is None and teacher.scores is None:
        return functional.attention_loss(
            student.query,
            student.key,
            teacher.query,
            teacher.key,
            mask,
            student_scaling=student.scaling,
            teacher_scaling=teacher.scaling,
            window=window,
            teacher_heads=teacher_heads,
        )
    return functional.score_loss(
        scores_of(student, mask), scores_of(teacher, mask), mask, window=window, teacher_heads=teacher_heads
    )


def window_of_both(student: AttentionState, teacher: AttentionState) -> int | None:
    """How many places apart both models compare tokens; None: however far they are."""
    windows = [state.window for state in (student, teacher) if state.window is not None]
    # torch.compile knows no min() with a default.
    return min(windows) if windows else None


def scores_of(state: AttentionState, mask: Tensor) -> Tensor:
    """(B, H, T, T), a layer's attention scores before softmax; at padding stands anything."""
    if state.scores is not None:
        return state.scores
    return functional.attention_scores(state.query, state.key, mask, scaling=state.scaling)


def soft_loss(
    ours: Tensor, other: Tensor, labels: Tensor | None, *, temperature: float, multi_label: bool, term: str
) -> Tensor:
    """(B,), how far the student's logits are from the teacher's, by the kind of label that they are of.

    Raises:
        ModelError: logits of tokens, and no labels that say where words begin.
    """
    if ours.dim() == 3:
        if labels is None:
            raise ModelError(
                f"the term {term!r} compares words, and the batch has no labels, which say where they begin: "
                "tokenise labelled words"
            )
        return label_kinds.over_labelled_tokens(
            partial(functional.prediction_loss, temperature=temperature), ours, other, labels
        )
    if multi_label:
        return label_kinds.multi_label_prediction_loss(ours, other, temperature=temperature)
    if ours.shape[-1] == 1:
        return functional.regression_prediction_loss(ours, other)
    return functional.prediction_loss(ours, other, temperature=temperature)


def teacher_of(teacher: EncoderStates | None, term: str) -> EncoderStates:
    """The teacher's states; raises ModelError where there are none."""
    if teacher is None:
        raise ModelError(
            f"the term {term!r} compares with a teacher, and there is none; give the trainer a teacher"
        )
    return teacher


def logits_of(states: EncoderStates, who: str) -> Tensor:
    """(B, C), or (B, T, C) for words; raises ModelError where there are none."""
    if states.logits is None:
        raise ModelError(f"the {who} gives no logits: it has no head; load it as a classifier")
    return states.logits
