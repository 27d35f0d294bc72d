"""What the Trainer trains: a student and the objective's projections. The teacher stands beside it.

B batch, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from bertling.errors import ModelError
from bertling.models.capture import enable_capture, observe
from bertling.models.packed import observe_packed
from bertling.objectives.objective import Objective
from bertling.training.teacher_cache import TeacherCache


@dataclass
class DistillationOutput(ModelOutput):
    """Losses of a batch.

    Attributes:
        loss: scalar, the sum (not the mean) of the examples' weighted losses; duplicates count nothing.
        terms: term name -> scalar, the same sum for each term, before its weight in the objective.
    """

    loss: Tensor | None = None
    terms: dict[str, Tensor] | None = None


class DistillationModel(PreTrainedModel):
    """Student and projections as one PreTrainedModel, so that the Trainer saves, shards and resumes both.

    The teacher is in eval mode, gets no gradient, and is no submodule: parameters(), state_dict(), the
    optimizer and checkpoints never see it.

    Args:
        student: the model that trains.
        objective: its loss.
        teacher: a model, or what it showed of the same texts; None if the objective reads labels alone.

    Raises:
        ModelError: the objective needs a teacher and there is none, a model cannot give attention scores, or
            the cache does not keep what the objective reads.
    """

    supports_gradient_checkpointing = True
    # The Trainer then leaves the division by the number of examples to us.
    accepts_loss_kwargs = True
    _supports_sdpa = True

    def __init__(
        self,
        student: PreTrainedModel,
        objective: Objective,
        teacher: PreTrainedModel | TeacherCache | None = None,
    ) -> None:
        super().__init__(student.config)
        if objective.needs_teacher and teacher is None:
            raise ModelError("the objective compares with a teacher, and none was given; pass teacher=")
        self.student = student
        self.objective = objective
        self._teacher: list[PreTrainedModel] = []
        self._cache = teacher if isinstance(teacher, TeacherCache) else None
        if isinstance(teacher, TeacherCache):
            if (objective.teacher_parts | teacher.parts) != teacher.parts:
                raise ModelError(
                    f"the objective reads {objective.teacher_parts} of the teacher, and its cache keeps "
                    f"{teacher.parts}: fill it with parts=objective.teacher_parts"
                )
        elif teacher is not None and objective.needs_teacher:
            # A list hides the module from torch's registration.
            self._teacher.append(teacher.eval().requires_grad_(False))
        if objective.student_parts.captured:
            enable_capture(student)
            for model in self._teacher:
                enable_capture(model)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Student and projections keep the weights they have."""

    def place_teacher(self, device: torch.device) -> None:
        """Move the teacher, which ``.to()`` does not see."""
        for model in self._teacher:
            nn.Module.to(model, device)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        example_weight: Tensor | None = None,
        taught: dict[str, Tensor] | None = None,
        **packed: Tensor,
    ) -> DistillationOutput:
        """Losses of a batch: ``labels`` and ``example_weight`` are (B,), the others (B, T).

        ``taught`` is what a teacher cache holds of the batch.

        Packed blocks bring ``piece_ids``, ``position_ids`` and ``piece_tokens``, as `PadToLongest` makes
        them; an example is then a text, and ``example_weight`` has one value for each of the N texts.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **packed}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        see = observe_packed if packed else observe
        theirs = None
        if self._cache is not None and taught is not None:
            theirs = self._cache.states(taught, attention_mask.bool())
        for teacher in self._teacher:
            with torch.no_grad():
                theirs = see(teacher, inputs, attention_layers=self.objective.teacher_parts.captured)
        shown = see(self.student, inputs, attention_layers=self.objective.student_parts.captured)
        losses, terms = self.objective(shown, theirs, labels)
        weight = torch.ones_like(losses) if example_weight is None else example_weight.to(losses)
        # A weight of 0 must silence even a NaN.
        counted = weight > 0
        return DistillationOutput(
            loss=_weighted_sum(losses, weight, counted),
            terms={name: _weighted_sum(values.detach(), weight, counted) for name, values in terms.items()},
        )


def _weighted_sum(values: Tensor, weight: Tensor, counted: Tensor) -> Tensor:
    return (values * weight).masked_fill(~counted, 0.0).sum()
