"""Objectives by name: what a recipe or a dozen lines of Python ask for.

D_s, D_t widths of student and teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor, nn

from bertling.errors import ShapeError
from bertling.objectives.masked_lm_terms import Head, MaskedLMHead, MaskedLMTerm, SoftMaskedLMTerm
from bertling.objectives.objective import Objective
from bertling.objectives.peer_terms import (
    AttentionDistributionTerm,
    CosineTerm,
    PatientTerm,
    SelfRelationTerm,
    SoftTargetTerm,
    ValueRelationTerm,
)
from bertling.objectives.sentence_terms import SentenceTerm, SimilarityLabelTerm, SimilarityTerm
from bertling.objectives.terms import (
    AttentionTerm,
    EmbeddingTerm,
    HiddenTerm,
    LabelTerm,
    PredictionTerm,
    Term,
)

TINYBERT_INTERMEDIATE: dict[str, float] = {"embedding": 1.0, "attention": 1.0, "hidden": 1.0}
"""General distillation and the first step of task distillation (the paper's equation 11, upper cases)."""

TINYBERT_PREDICTION: dict[str, float] = {"prediction": 1.0}
"""The second step of task distillation (equation 11, last case)."""


def build_objective(
    weights: Mapping[str, float],
    layers: Mapping[int, int],
    *,
    student_width: int,
    teacher_width: int,
    temperature: float = 1.0,
    upper_layer: int | None = None,
    embeddings: nn.Embedding | None = None,
    teacher_head: Head | None = None,
    multi_label: bool = False,
    spans: bool = False,
    class_weights: Tensor | None = None,
    attention_heads: Mapping[int, Collection[int]] | None = None,
    sentence_layers: tuple[int, int] | None = None,
    similarity_range: tuple[float, float] = (0.0, 1.0),
) -> Objective:
    """An objective from term names and weights; terms of weight 0 are left out.

    ``embedding``, ``attention``, ``hidden``, ``prediction`` are TinyBERT's. ``labels`` are those of the data,
    ``soft_targets`` the teacher's times t^2, ``similarities`` the cosines between a batch's embeddings.
    ``patient_states`` compares all layers but the student's last. The student's last layer alone is compared
    by ``cosine``, ``attention_distributions``, ``value_relations`` and ``self_relations``. ``masked_lm`` and
    ``soft_masked_lm`` guess hidden tokens.

    Args:
        weights: name -> weight.
        layers: student layer -> teacher layer, from 1.
        student_width: D_s.
        teacher_width: D_t.
        temperature: of the soft targets.
        upper_layer: teacher layer of ``self_relations``; default: that of the student's last layer.
        embeddings: the student's table of token embeddings, for the masked-LM terms.
        teacher_head: the teacher's masked-LM head, for ``soft_masked_lm``.
        multi_label: the logits are of several labels, each with a probability of its own.
        spans: the logits are of where answers start and end.
        class_weights: (C,), of the classes in ``labels``.
        attention_heads: teacher layer -> its heads, from 1, that count in ``attention``; a layer with none is
            left out of that term; default: all heads of all layers.
        sentence_layers: the last layers of student and teacher, whose states' means over tokens are
            embeddings: ``prediction`` and ``labels`` then read these. None: they read logits.
        similarity_range: lowest and highest of the data, for their ``labels``.

    Raises:
        ShapeError: an unknown term, no weight above 0, or a term without what it needs.
    """
    widths = {"student_width": student_width, "teacher_width": teacher_width}
    last = max(layers)
    at_the_end = {last: layers[last]}
    below = {mine: theirs for mine, theirs in layers.items() if mine != last}

    def patient() -> Term:
        if not below:
            raise ShapeError(
                "patient_states compares the layers below the student's last one, and the student has one "
                "layer; leave the term out"
            )
        return PatientTerm(below, **widths)

    def masked_lm() -> MaskedLMTerm:
        if embeddings is None:
            raise ShapeError("masked_lm guesses with the student's embedding table; pass embeddings=")
        return MaskedLMTerm(last, MaskedLMHead(student_width, embeddings))

    def soft_masked_lm() -> Term:
        if teacher_head is None:
            raise ShapeError("soft_masked_lm needs the teacher's masked-LM head; pass teacher_head=")
        trained = made.get("masked_lm")
        if not isinstance(trained, MaskedLMTerm):
            raise ShapeError("soft_masked_lm guesses with the head that masked_lm trains; use both")
        return SoftMaskedLMTerm(
            last,
            layers[last],
            student_head=trained.head,
            teacher_head=teacher_head,
            temperature=temperature,
        )

    def prediction() -> Term:
        if sentence_layers:
            return SentenceTerm(*sentence_layers, **widths)
        return PredictionTerm(temperature=temperature, multi_label=multi_label, spans=spans)

    def of_pairs() -> Term:
        if sentence_layers is None:
            raise ShapeError("similarities are those of embeddings; pass sentence_layers=")
        return SimilarityTerm(*sentence_layers)

    def of_labels() -> Term:
        if sentence_layers:
            lowest, highest = similarity_range
            return SimilarityLabelTerm(sentence_layers[0], lowest=lowest, highest=highest)
        return LabelTerm(class_weights, spans=spans)

    makers: dict[str, Callable[[], Term]] = {
        "embedding": lambda: EmbeddingTerm(**widths),
        "attention": lambda: AttentionTerm(dict(layers), heads=attention_heads),
        "hidden": lambda: HiddenTerm(dict(layers), **widths),
        "prediction": prediction,
        "labels": of_labels,
        "similarities": of_pairs,
        "soft_targets": lambda: SoftTargetTerm(temperature=temperature, multi_label=multi_label, spans=spans),
        "cosine": lambda: CosineTerm(at_the_end, **widths),
        "patient_states": patient,
        "attention_distributions": lambda: AttentionDistributionTerm(at_the_end),
        "value_relations": lambda: ValueRelationTerm(at_the_end),
        "self_relations": lambda: SelfRelationTerm({last: upper_layer or layers[last]}),
        "masked_lm": masked_lm,
        "soft_masked_lm": soft_masked_lm,
    }
    if unknown := sorted(set(weights) - set(makers)):
        raise ShapeError(f"unknown terms {unknown}; expected {', '.join(makers)}")
    made: dict[str, Term] = {}
    # In the order of the weights, but what trains a head comes before what reads it.
    for name in sorted((name for name, weight in weights.items() if weight), key="soft_masked_lm".__eq__):
        made[name] = makers[name]()
    return Objective([(made[name], weight) for name, weight in weights.items() if weight])
