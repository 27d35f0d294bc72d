"""Attention scores of encoders that compute them by themselves, seen where they go into the softmax.

DeBERTa adds position biases to the products of queries and keys, in code that asks no attention interface.
While it runs, a mode of torch notes what its softmax is given, and hooks note queries, keys and values.

B batch, T tokens, H heads, d head width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PretrainedConfig, PreTrainedModel

from bertling.models.anatomy import layers_of
from bertling.states import AttentionState

_SOFTMAX: tuple[Callable[..., Any], ...] = (nn.functional.softmax, torch.softmax, Tensor.softmax)
_PARTS = ("query", "key", "value")


class SoftmaxTap(TorchFunctionMode):
    """Notes the scores that each layer's softmax is given; layers run in order, each with one softmax.

    Attributes:
        calls: layers that have run.
        scores: layer, from 1 -> (B, H, T, T), masked pairs as low as numbers get.
        parts: layer -> its queries, keys and values by name, each (B, T, H * d).
    """

    def __init__(self, layers: Collection[int]) -> None:
        super().__init__()
        self.calls = 0
        self.scores: dict[int, Tensor] = {}
        self.parts: dict[int, dict[str, Tensor]] = {layer: {} for layer in layers}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Note the argument of a softmax; compute everything as ever."""
        if func in _SOFTMAX:
            self.calls += 1
            if self.calls in self.parts:
                self.scores[self.calls] = args[0]
        return func(*args, **(kwargs or {}))

    def states(self, config: PretrainedConfig) -> dict[int, AttentionState]:
        """What was noted, layer by layer."""
        return {layer: self._state(layer, config) for layer in self.scores}

    def _state(self, layer: int, config: PretrainedConfig) -> AttentionState:
        scores = self.scores[layer]
        query, key, value = (
            self.parts[layer][name].unflatten(-1, (scores.shape[1], -1)).transpose(1, 2) for name in _PARTS
        )
        # The products with each kind of position come on top of those of queries and keys.
        summands = 1 + sum(kind in (config.pos_att_type or ()) for kind in ("c2p", "p2c"))
        return AttentionState(query, key, value, (query.shape[-1] * summands) ** -0.5, scores=scores)


@contextmanager
def tapping(model: PreTrainedModel, layers: Iterable[int]) -> Iterator[SoftmaxTap]:
    """Note the attention of ``layers`` (from 1) while ``model`` runs in this context."""
    tap = SoftmaxTap(frozenset(layers))
    hooks = []
    for layer, module_name in enumerate(layers_of(model), start=1):
        for part in _PARTS if layer in tap.parts else ():
            projection = model.get_submodule(f"{module_name}.attention.self.{part}_proj")
            hooks.append(projection.register_forward_hook(_noting(tap.parts[layer], part)))
    try:
        with tap:
            yield tap
    finally:
        for hook in hooks:
            hook.remove()


def _noting(parts: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        # Relative positions may pass through the same map, after the tokens.
        parts.setdefault(name, output)

    return note
