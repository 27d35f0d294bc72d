"""The masked-LM head of a checkpoint by itself, without the encoder under it.

P positions, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from bertling.models.masked_lm import has_masked_lm_head, load_masked_lm


def masked_lm_head(name: str) -> Callable[[Tensor], Tensor] | None:
    """A model's masked-LM head, frozen: from states of its last layer, (P, D), to logits, (P, V).

    It goes to the device of what it is given. None for a checkpoint that has no such head.

    Raises:
        ModelError: not found, or weights of the encoder that do not fit.
    """
    if not has_masked_lm_head(name):
        return None
    model = load_masked_lm(name).requires_grad_(False)
    setattr(model, model.base_model_prefix, _Given())
    return _Head(model)


class _Head:
    """Runs a model whose encoder has been taken out."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def __call__(self, states: Tensor) -> Tensor:
        nn.Module.to(self._model, states.device)
        logits: Tensor = self._model(inputs_embeds=states[None], return_dict=True).logits[0]
        return logits


class _Given(nn.Module):
    """Stands where the encoder was, and gives what it is given."""

    def forward(self, *args: Any, inputs_embeds: Tensor, **kwargs: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=inputs_embeds)
