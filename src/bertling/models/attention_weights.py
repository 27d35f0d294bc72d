"""Attention weights after softmax, and their gradient: what an analysis of heads reads.

Fused attention never has them, so a model runs on plain attention for this. They are the weights that its
output is made with, in its graph.

B batch, T tokens, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel

from bertling.errors import ModelError
from bertling.models.anatomy import anatomy_of
from bertling.models.capture import logits_of_output

_PLAIN = "eager"


@dataclass(frozen=True, slots=True)
class AttentionWeights:
    """One forward pass in eval mode.

    Attributes:
        layers: of each layer, first layer first, (B, H, T, T): row i holds how much token i attends to each
            token. Rows of padding hold anything; real tokens attend to no padding.
        logits: as in `bertling.states.EncoderStates`.
    """

    layers: tuple[Tensor, ...]
    logits: Tensor | None


def attention_weights(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> AttentionWeights:
    """Run a model in eval mode on plain attention; afterwards its mode and attention are as before.

    Args:
        model: an encoder, with or without a head.
        inputs: ``input_ids``, ``attention_mask``, ... each (B, T).

    Raises:
        ModelError: the architecture is not supported, or shows no attention weights.
    """
    with _plain_attention(model):
        output = model(**inputs, output_attentions=True, return_dict=True)
    layers = output.attentions or ()
    wanted = getattr(model.config, anatomy_of(model.config).layers_key)
    if len(layers) != wanted or any(layer is None for layer in layers):
        raise ModelError(
            f"{type(model).__name__} of {wanted} layers shows the attention weights of "
            f"{sum(layer is not None for layer in layers)}: it cannot be analysed"
        )
    return AttentionWeights(tuple(layers), logits_of_output(output))


@contextmanager
def _plain_attention(model: PreTrainedModel) -> Iterator[None]:
    taps_softmax = anatomy_of(model.config).taps_softmax  # whose attention is plain, and asks nobody
    before, was_training = model.config._attn_implementation, model.training
    model.eval()
    if not taps_softmax and before != _PLAIN:
        model.set_attn_implementation(_PLAIN)
    try:
        yield
    finally:
        if not taps_softmax and before != _PLAIN:
            model.set_attn_implementation(before)
        model.train(was_training)
