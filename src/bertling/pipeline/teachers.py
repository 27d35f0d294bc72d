"""The models that teach a run's task: one, several, or none where the data brings soft labels."""

from __future__ import annotations

from dataclasses import dataclass

from bertling.recipe.schema import Recipe


@dataclass(frozen=True, slots=True)
class TaskTeacher:
    """One of them.

    Attributes:
        stage: that fine-tunes it or takes it as it is: ``teacher``; of [teacher] models ``teacher-1`` and on.
        model: folder, hub name, or package:NAME.
        labels: names of its outputs, in its order, where the recipe gives some.
        weight: in the average of their predictions.
    """

    stage: str
    model: str
    labels: tuple[str, ...] | None
    weight: float = 1.0


def task_teachers(recipe: Recipe) -> list[TaskTeacher]:
    """A recipe's teachers, in its order; none with soft labels."""
    if recipe.teacher.model:
        return [TaskTeacher("teacher", recipe.teacher.model, recipe.teacher.labels)]
    return [
        TaskTeacher(f"teacher-{number}", teacher.model, teacher.labels, teacher.weight)
        for number, teacher in enumerate(recipe.teacher.models or (), start=1)
    ]
