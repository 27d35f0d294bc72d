"""An analysis of attention as the report gets it, made by hand."""

from __future__ import annotations

import base64
import math

from bertling.results import Environment
from bertling.results_of_attention import (
    AnalysedRole,
    AttendedText,
    AttentionFigures,
    AttentionResults,
    HeadFigures,
    ModelAttention,
)

TEXTS = (["[CLS]", "the", "swell", "eased", "[SEP]"], ["[CLS]", "rough", "!", "[SEP]"])


def head(layer: int, number: int, *, role: AnalysedRole) -> HeadFigures:
    """Heads with even numbers look at [SEP], the more the higher the layer; the others at the next token."""
    to_sep = 0.1 if number % 2 else 0.5 + 0.02 * layer
    return HeadFigures(
        layer=layer,
        head=number,
        to_sep=to_sep,
        to_cls=0.05,
        to_punctuation=0.02,
        to_previous=0.03,
        to_next=0.7 if number % 2 else 0.1,
        to_itself=0.04,
        entropy_nats=1 + 0.1 * layer,
        distance_tokens=2.5,
        sep_gradient=0.01 / (to_sep + 0.001 * number),
        cls_gradient=0.02,
        punctuation_gradient=None,
        other_gradient=0.03,
        place=(math.cos(number + layer), math.sin(number) * layer / 12),
        nearest=(3 * layer, number) if role == "student" and number < 12 else None,
        nearest_nats=0.01 if role == "student" and number < 12 else None,
    )


def model(role: AnalysedRole, layers: int, heads: int = 12) -> ModelAttention:
    figures = [
        head(layer, number, role=role) for layer in range(1, layers + 1) for number in range(1, heads + 1)
    ]
    return ModelAttention(layers=layers, heads=heads, figures=figures)


def weights(layers: int, heads: int, tokens: int) -> str:
    """Head h of layer l gives all of its attention to token l + h, counted around."""
    rows = bytearray()
    for layer in range(layers):
        for number in range(heads):
            row = bytearray(tokens)
            row[(layer + number) % tokens] = 255
            rows += row * tokens
    return base64.b64encode(rows).decode()


def attention(environment: Environment) -> AttentionResults:
    """Twelve layers and four, of twelve heads."""
    return AttentionResults(
        student_digest="0" * 64,
        texts=200,
        tokens=5123,
        sep_token="[SEP]",
        cls_token="[CLS]",
        uniform=AttentionFigures(
            to_sep=0.04,
            to_cls=0.04,
            to_punctuation=0.1,
            to_previous=0.04,
            to_next=0.04,
            to_itself=0.04,
            entropy_nats=3.2,
            distance_tokens=8.3,
        ),
        models={"teacher": model("teacher", 12), "student": model("student", 4)},
        map_explained=0.4321,
        examples=[
            AttendedText(
                tokens=tokens,
                weights={"teacher": weights(12, 12, len(tokens)), "student": weights(4, 12, len(tokens))},
            )
            for tokens in TEXTS
        ],
        environment=environment,
    )
