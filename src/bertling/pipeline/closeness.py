"""How near the layers of a run's models are to those of its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from transformers import PreTrainedModel

from bertling.data.collation import calibration_batches
from bertling.evaluation.closeness import layer_closeness
from bertling.pipeline.context import Context
from bertling.pipeline.distillation import mapped_layers
from bertling.results import LayerCloseness

_TEXTS = 200
"""of the evaluation set, evenly over all of it"""

Role = Literal["student", "baseline"]


def closeness(
    context: Context, models: Mapping[str, PreTrainedModel], teacher: PreTrainedModel
) -> dict[Role, list[LayerCloseness]]:
    """Of the student, and of the baseline beside it: what of the closeness comes from learning labels."""
    fitted_on = context.calibration(context.train_tokens)
    measured_on = calibration_batches(context.test_tokens, context.tokenizer, count=_TEXTS)
    roles: tuple[Role, ...] = ("student", "baseline")
    return {
        role: layer_closeness(
            models[role],
            teacher,
            mapped_layers(context, models[role], teacher),
            fitted_on=fitted_on,
            measured_on=measured_on,
        )
        for role in roles
        if role in models
    }
