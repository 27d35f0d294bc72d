"""What all sections of a recipe have in common. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TermName = Literal[
    "embedding",
    "attention",
    "hidden",
    "prediction",
    "labels",
    "soft_targets",
    "cosine",
    "patient_states",
    "attention_distributions",
    "value_relations",
    "self_relations",
    "similarities",
    "masked_lm",
    "soft_masked_lm",
]
Terms = dict[TermName, Annotated[float, Field(ge=0)]]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
