"""Several texts in one row, without attention between them, and their states taken apart again.

B rows, T tokens, N texts in them, L tokens of the longest text, H heads, d head width, D width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from bertling.errors import ModelError
from bertling.models.anatomy import anatomy_of, first_position
from bertling.models.capture import watch
from bertling.states import EncoderStates


def observe_packed(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], *, attention_layers: Collection[int] = ()
) -> EncoderStates:
    """Run ``model`` on packed rows and return what it shows of each text, as if each had a row of its own.

    A token sees the tokens of its own text alone, and positions begin anew with each text. So packing saves
    the model padding, and changes no state and no loss.

    Args:
        model: an encoder without a head: a head would read a row's first token as that of all its texts.
        inputs: ``input_ids``, ``piece_ids`` (0 for padding) and ``position_ids``, each (B, T), and
            ``piece_tokens`` (N, L), as `PadToLongest` makes them.
        attention_layers: layers, from 1, whose queries and keys are wanted.

    Returns:
        states with N in the place of B and L in that of T.

    Raises:
        ModelError: as `observe` does, or an architecture that cannot keep the texts of a row apart.
    """
    refuse_unpackable(model.config)
    where = inputs["piece_tokens"]
    row = watch(
        model,
        {
            "input_ids": inputs["input_ids"],
            "attention_mask": _attention_mask(model.config, inputs["piece_ids"]),
            "position_ids": inputs["position_ids"] + first_position(model.config),
        },
        mask=inputs["piece_ids"] > 0,
        attention_layers=attention_layers,
    )

    def apart(values: Tensor) -> Tensor:
        # (B, T, ...) -> (N, L, ...); what stands in for padding is masked like any padding
        return values.flatten(0, 1)[where.clamp(min=0)]

    def heads_apart(values: Tensor) -> Tensor:
        # (B, H, T, d) -> (N, H, L, d)
        return apart(values.transpose(1, 2)).transpose(1, 2)

    return replace(
        row,
        mask=where >= 0,
        embedding=apart(row.embedding),
        hidden={layer: apart(states) for layer, states in row.hidden.items()},
        attention={
            layer: replace(
                shown,
                query=heads_apart(shown.query),
                key=heads_apart(shown.key),
                value=heads_apart(shown.value),
            )
            for layer, shown in row.attention.items()
        },
    )


def refuse_unpackable(config: PretrainedConfig) -> None:
    """Raise a ModelError for an architecture that cannot keep the texts of a row apart."""
    if reason := anatomy_of(config).unpackable:
        raise ModelError(
            f"{config.model_type!r} cannot read packed rows: {reason}. Set general.packed = false, or "
            "tokenise one text a row"
        )


def _attention_mask(config: PretrainedConfig, pieces: Tensor) -> Tensor | dict[str, Tensor]:
    """Which tokens see which, (B, 1, T, T) bool: those of the same text, and of the layer's window."""
    # Padding may look at padding: a row of the mask without any token would give NaN.
    same = pieces[:, None, :, None] == pieces[:, None, None, :]
    if not getattr(config, "layer_types", None):
        return same
    # A mask of this shape is taken as it is, so the window has to be in it.
    places = torch.arange(pieces.shape[1], device=pieces.device)
    near = (places[:, None] - places).abs() <= config.sliding_window
    return {"full_attention": same, "sliding_attention": same & near}
