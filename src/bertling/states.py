"""What an encoder shows of itself: the typed tensors that models produce and objectives compare.

B batch, T tokens, D width, H heads, d head width, C classes. Hidden layers count from 1; the output of
the embedding layer is ``embedding``, not "layer 0".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Parts:
    """Which parts of an `EncoderStates` something reads: what has to be shown, or kept.

    Attributes:
        embedding: whether the embedding.
        hidden: layers, from 1, whose hidden states.
        attention: layers, from 1, whose queries and keys.
        values: layers, from 1, whose attention's values.
        logits: whether the logits.
    """

    embedding: bool = False
    hidden: frozenset[int] = frozenset()
    attention: frozenset[int] = frozenset()
    values: frozenset[int] = frozenset()
    logits: bool = False

    def __or__(self, other: Parts) -> Parts:
        return Parts(
            embedding=self.embedding or other.embedding,
            hidden=self.hidden | other.hidden,
            attention=self.attention | other.attention,
            values=self.values | other.values,
            logits=self.logits or other.logits,
        )

    def __bool__(self) -> bool:
        return self != Parts()

    @property
    def captured(self) -> frozenset[int]:
        """Layers whose attention has to be watched while the encoder runs."""
        return self.attention | self.values


@dataclass(frozen=True, slots=True)
class AttentionState:
    """Queries, keys and values of one layer, as its attention used them.

    Attributes:
        query: (B, H, T, d).
        key: (B, H, T, d).
        value: (B, H, T, d).
        scaling: the factor that the model put on ``query @ key^T``.
        window: a token is compared with those at most so many places away; None: with all of its text.
        scores: (B, H, T, T) before softmax, where they are more than ``query @ key^T * scaling``, such as
            with position biases; else None. At padding stands anything.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scaling: float
    window: int | None = None
    scores: Tensor | None = None


@dataclass(frozen=True, slots=True)
class EncoderStates:
    """One forward pass.

    Attributes:
        mask: (B, T) bool, True for real tokens.
        embedding: (B, T, D), the input of the first layer.
        hidden: layer, from 1 -> (B, T, D), the output of that layer. Of a model that normalises what a layer
            reads rather than what it gives (ModernBERT) these are sums not yet normalised, but the last one,
            which is taken after the model's final norm, as its head reads it.
        attention: layer, from 1 -> its attention; only the layers that were asked for.
        logits: (B, C), or (B, T, C) of a model for labels of words, or (B, T, 2), starts and ends, of one
            that answers questions, or None for a model without a head.
    """

    mask: Tensor
    embedding: Tensor
    hidden: Mapping[int, Tensor]
    attention: Mapping[int, AttentionState] = field(default_factory=dict)
    logits: Tensor | None = None
