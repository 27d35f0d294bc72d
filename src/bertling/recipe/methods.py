"""Methods by name: what each stage learns under each of them. Imports no torch.

``docs/methods.md`` says where each comes from, and where ours differs from the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bertling.recipe.section import TermName

MethodName = Literal["tinybert", "distilbert", "pkd", "minilm", "minilmv2", "kd", "mlm", "none"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a stage learns: loss terms with their weights, none where it is left out.

    Attributes:
        terms: name -> weight.
        temperature: of the soft targets among them.
    """

    terms: Mapping[TermName, float]
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Method:
    """What the stages learn; ``intermediate`` is None for a method whose task stage is a single one."""

    general: Lesson
    intermediate: Lesson | None
    prediction: Lesson

    @property
    def lessons(self) -> dict[str, Lesson | None]:
        """Stage -> what it learns."""
        return {"general": self.general, "intermediate": self.intermediate, "prediction": self.prediction}


_TRANSFORMER = Lesson({"embedding": 1.0, "attention": 1.0, "hidden": 1.0})
_MINILM = Lesson({"attention_distributions": 1.0, "value_relations": 1.0})
_MINILMV2 = Lesson({"self_relations": 1.0})
_PRETRAINING = Lesson({"masked_lm": 1.0})
_LABELS = Lesson({"labels": 1.0})
_SOFT_AND_HARD = Lesson({"soft_targets": 0.5, "labels": 0.5}, temperature=2.0)

METHODS: dict[MethodName, Method] = {
    "tinybert": Method(_TRANSFORMER, _TRANSFORMER, Lesson({"prediction": 1.0})),
    "distilbert": Method(
        Lesson({"soft_masked_lm": 5.0, "masked_lm": 2.0, "cosine": 1.0}, temperature=2.0),
        None,
        _SOFT_AND_HARD,
    ),
    "pkd": Method(
        _PRETRAINING,
        None,
        Lesson({**_SOFT_AND_HARD.terms, "patient_states": 1.0}, _SOFT_AND_HARD.temperature),
    ),
    "minilm": Method(_MINILM, _MINILM, _SOFT_AND_HARD),
    "minilmv2": Method(_MINILMV2, _MINILMV2, _SOFT_AND_HARD),
    "kd": Method(_PRETRAINING, None, _SOFT_AND_HARD),
    "mlm": Method(_PRETRAINING, None, _LABELS),
    "none": Method(Lesson({}), None, _LABELS),
}
