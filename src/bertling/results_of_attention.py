"""The typed results of an attention analysis. Imports no torch; units stand in the names."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from bertling.files import digest_of_weights
from bertling.results import Count, Environment, Layers, Result

AnalysedRole = Literal["teacher", "student"]
Figure = Annotated[float, Field(ge=-1e12, le=1e12)]
"""finite, and with room to be drawn"""


class AttentionFigures(Result):
    """What a head looks at: means over all tokens of the texts, Clark et al. 2019, section 3.

    ``to_...`` are shares of a token's attention, 0 to 1: to all separators of its text, to its first token
    ([CLS]), to punctuation, to the token before, to the one behind, to itself. ``entropy_nats`` is that of
    its distribution, ``distance_tokens`` how far away the tokens are that it attends to. None where the
    tokenizer has no such token.
    """

    to_sep: Figure | None
    to_cls: Figure | None
    to_punctuation: Figure
    to_previous: Figure
    to_next: Figure
    to_itself: Figure
    entropy_nats: Figure
    distance_tokens: Figure


class HeadFigures(AttentionFigures):
    """A head's figures, and where it stands among the others; layers and heads count from 1.

    ``..._gradient`` is the mean of |dL/dA| over pairs of a token and one of that kind, L the loss of the
    labels and A the attention: how much the loss changes with the attention to such tokens. None where there
    are no such tokens, or no labels.

    ``place`` is where the head lies on the map of all heads, teacher's and student's, on which heads are the
    nearer the more alike their distributions are. ``nearest`` is the layer and head of the teacher's head
    that is most like a student's, ``nearest_nats`` their Jensen-Shannon divergence.
    """

    layer: int
    head: int
    sep_gradient: Figure | None = None
    cls_gradient: Figure | None = None
    punctuation_gradient: Figure | None = None
    other_gradient: Figure | None = None
    place: tuple[Figure, Figure]
    nearest: tuple[int, int] | None = None
    nearest_nats: Figure | None = None


class ModelAttention(Result):
    """A model's heads, layer by layer."""

    layers: Annotated[Layers, Field(ge=1)]
    heads: Annotated[int, Field(ge=1, le=1000)]
    figures: list[HeadFigures]

    @model_validator(mode="after")
    def _has_every_head_in_order(self) -> Self:
        places = [(layer, head) for layer in range(1, self.layers + 1) for head in range(1, self.heads + 1)]
        if [(figures.layer, figures.head) for figures in self.figures] != places:
            raise ValueError(f"expected {self.layers} layers of {self.heads} heads, in order")
        return self


class AttendedText(Result):
    """A text with the attention that the models pay in it.

    ``weights`` are the bytes, in base64, of ``layers`` x ``heads`` x tokens x tokens numbers: 255 times the
    share of its attention that a token gives to another.
    """

    tokens: list[str]
    weights: dict[AnalysedRole, str]


class AttentionResults(Result):
    """``RUN/attention.json``: what the heads of teacher and student look at.

    ``student_digest`` is the SHA-256 of the student's weight file, by which a later student is told apart.
    ``uniform`` are the figures of a head that attends to all tokens of a text alike. ``map_explained`` is the
    share of the heads' variance that the map shows, 0 to 1.
    """

    student_digest: str
    texts: Count
    tokens: Count
    sep_token: str | None
    cls_token: str | None
    uniform: AttentionFigures
    models: dict[AnalysedRole, ModelAttention]
    """without the teacher where it gives predictions alone"""
    map_explained: Figure
    examples: list[AttendedText]
    environment: Environment

    @model_validator(mode="after")
    def _has_what_the_page_reads(self) -> Self:
        if "student" not in self.models:
            raise ValueError("expected the student's heads")
        heads = [figures for model in self.models.values() for figures in model.figures]
        for name, token in (("to_sep", self.sep_token), ("to_cls", self.cls_token)):
            if any((getattr(figures, name) is None) != (token is None) for figures in [self.uniform, *heads]):
                raise ValueError(f"expected {name} where the tokenizer has such a token, and nowhere else")
        for text in self.examples:
            for role, model in self.models.items():
                expected = model.layers * model.heads * len(text.tokens) ** 2
                if _decoded_length(text.weights.get(role, "")) != expected:
                    raise ValueError(f"expected {expected} bytes of the {role}'s weights for each text shown")
        return self


class NoOpHeads(Result):
    """``no_op_heads.json`` of a stage: the heads of the teacher that its attention loss leaves out.

    They are those whose mean attention to the special tokens, separators and first tokens together, is above
    ``threshold``, on ``texts`` of the stage. ``to_special`` has it for every head, layer by layer;
    ``left_out`` names the heads of each layer that has some, both counted from 1.
    """

    threshold: float
    texts: int
    special_tokens: list[str]
    to_special: list[list[float]]
    left_out: dict[int, list[int]]


def _decoded_length(text: str) -> int | None:
    """Bytes that the text is the base64 of; None where it is of none."""
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None


def digest_of_student(run: Path) -> str:
    """SHA-256 of the weights of a run's student."""
    return digest_of_weights(run / "student")


def attention_of_run(run: Path) -> AttentionResults | None:
    """What ``RUN/attention.json`` says; None where there is none, or it is of another student or version."""
    try:
        found = AttentionResults.model_validate_json((run / "attention.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, ValidationError):
        return None
    return found if found.student_digest == digest_of_student(run) else None
