"""Watch an encoder while it runs on fused attention: embedding, hidden states, queries and keys, logits.

transformers looks a model's attention function up by name on every forward pass. We register SDPA once
more under a name of our own and note what goes in. Nothing in the model is patched, no attention matrix
is made, and what is noted is what the model really used, scaling included. Models that ask for no attention
function by name are seen at their softmax instead.

B batch, T tokens, D width, H heads, d head width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from bertling.errors import ModelError
from bertling.models.anatomy import ANATOMIES, anatomy_of, window_of
from bertling.models.softmax_tap import tapping
from bertling.states import AttentionState, EncoderStates

# "sdpa" in the name makes transformers apply its checks for SDPA.
CAPTURE = "sdpa_bertling"


class _Recorder:
    """Travels to the attention function as a keyword argument, so that nothing is global.

    An object and not a dict: DistributedDataParallel copies containers, and the copy would be filled.
    """

    def __init__(self, config: PretrainedConfig, layers: Collection[int]) -> None:
        self.config = config
        self.layers = frozenset(layers)
        self.calls = 0
        self.states: dict[int, AttentionState] = {}
        self.open = True


def _recording_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    bertling_recorder: _Recorder | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if bertling_recorder is not None and bertling_recorder.open:
        bertling_recorder.calls += 1  # Layers run in order; one module may serve several of them.
        if bertling_recorder.calls in bertling_recorder.layers:
            used = scaling if scaling is not None else query.size(-1) ** -0.5
            window = window_of(bertling_recorder.config, bertling_recorder.calls)
            bertling_recorder.states[bertling_recorder.calls] = AttentionState(
                query, key, value, used, window
            )
    output: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
    )
    return output


AttentionInterface.register(CAPTURE, _recording_attention)
# Without a mask function of the same name transformers passes no padding mask, and says nothing.
AttentionMaskInterface.register(CAPTURE, sdpa_mask)


def enable_capture(model: PreTrainedModel) -> None:
    """Make ``model`` ready for `observe`; its outputs do not change.

    Raises:
        ModelError: the architecture is not one whose attention scores are known to be seen.
    """
    if model.config.model_type not in ANATOMIES or getattr(model.config, "is_decoder", False):
        kind = "decoder" if getattr(model.config, "is_decoder", False) else "architecture"
        raise ModelError(
            f"the {kind} {model.config.model_type!r} cannot give attention scores here; supported are "
            f"encoders of {', '.join(ANATOMIES)}. Leave the attention term out of the objective, or choose "
            "another model"
        )
    if anatomy_of(model.config).taps_softmax:
        return
    if model.config._attn_implementation != CAPTURE:
        model.set_attn_implementation(CAPTURE)
    if model.config._attn_implementation != CAPTURE:
        raise ModelError(
            f"{type(model).__name__} did not accept the attention function {CAPTURE!r}: it stays with "
            f"{model.config._attn_implementation!r}, which shows no attention scores"
        )


def observe(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], *, attention_layers: Collection[int] = ()
) -> EncoderStates:
    """Run ``model`` and return what it shows.

    Args:
        model: an encoder, with or without a head. Its mode (train or eval) and autograd are left alone.
        inputs: ``input_ids`` (B, T), ``attention_mask`` (B, T) and, where the model has them,
            ``token_type_ids`` (B, T).
        attention_layers: layers, from 1, whose queries and keys are wanted.

    Raises:
        ModelError: attention is asked of a model that cannot show it, or of a layer that it does not have.
    """
    return watch(model, inputs, mask=inputs["attention_mask"].bool(), attention_layers=attention_layers)


def watch(
    model: PreTrainedModel, inputs: Mapping[str, Any], *, mask: Tensor, attention_layers: Collection[int]
) -> EncoderStates:
    """`observe` with inputs as the model takes them, and the real tokens (B, T) told apart."""
    if not attention_layers:
        return _states(model(**inputs, output_hidden_states=True, return_dict=True), mask, {})
    enable_capture(model)
    if anatomy_of(model.config).taps_softmax:
        with tapping(model, attention_layers) as tap:
            output = model(**inputs, output_hidden_states=True, return_dict=True)
        attention, calls = tap.states(model.config), tap.calls
    else:
        recorder = _Recorder(model.config, attention_layers)
        output = model(**inputs, output_hidden_states=True, return_dict=True, bertling_recorder=recorder)
        # Gradient checkpointing runs attention again in the backward pass, which must not be noted.
        recorder.open = False
        attention, calls = recorder.states, recorder.calls
    if missing := sorted(set(attention_layers) - attention.keys()):
        raise ModelError(
            f"{type(model).__name__} ran attention {calls} times, so layers {missing} "
            "have no attention scores; ask for layers from 1 to the model's depth"
        )
    return _states(output, mask, attention)


def logits_of_output(output: Any) -> Tensor | None:
    """A model's logits as `EncoderStates` has them; None for a model without a head."""
    if getattr(output, "start_logits", None) is not None:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    logits: Tensor | None = getattr(output, "logits", None)
    return logits


def _states(output: Any, mask: Tensor, attention: Mapping[int, AttentionState]) -> EncoderStates:
    return EncoderStates(
        mask=mask,
        embedding=output.hidden_states[0],
        hidden=dict(enumerate(output.hidden_states[1:], start=1)),
        attention=attention,
        logits=logits_of_output(output),
    )
