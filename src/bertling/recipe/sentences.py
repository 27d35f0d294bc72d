"""What a recipe for sentence embeddings can say, and what it cannot. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertling.recipe.schema import Recipe
    from bertling.recipe.training_sections import TaskDistillationSection


def sentence_problem(recipe: Recipe) -> str | None:
    """What does not fit sentence embeddings, in words; None where all is well, and for other tasks."""
    if not recipe.task.sentence_embeddings:
        for name, section in _stages(recipe):
            if section.terms.get("similarities"):
                return (
                    f"[{name}] terms: similarities are those of sentence embeddings; set [task] "
                    "sentence_embeddings = true, or leave the term out"
                )
        if "tfidf_cosine" in recipe.evaluate.yardsticks:
            return (
                "[evaluate] yardsticks: tfidf_cosine is for sentence embeddings; set sentence_embeddings = "
                "true, or leave it out"
            )
        return None
    return _data(recipe) or _teacher(recipe) or _terms(recipe)


def _data(recipe: Recipe) -> str | None:
    if recipe.data.builtin:
        return (
            f"[data] builtin: the {recipe.data.builtin} have no pairs of texts, and sentence embeddings are "
            "scored on pairs with a number; take these from files or a hub"
        )
    return None


def _teacher(recipe: Recipe) -> str | None:
    teacher = recipe.teacher
    if teacher.predictions_only:
        given = "models" if teacher.models else "soft_labels"
        return (
            f"[task] sentence_embeddings: [teacher] {given} gives predictions alone, and an embedding is no "
            "prediction; give a single encoder with the student's tokenizer as [teacher] model"
        )
    if teacher.labels:
        return "[teacher] labels: an encoder has no outputs with names; leave it out"
    return None


def _terms(recipe: Recipe) -> str | None:
    for name, section in _stages(recipe):
        if section.terms.get("soft_targets"):
            return (
                f"[{name}] terms: soft_targets are those of classes or numbers, and an embedding is neither; "
                "give the stage terms of its own, with prediction, which compares embeddings"
            )
    return None


def _stages(recipe: Recipe) -> list[tuple[str, TaskDistillationSection]]:
    stages = (("intermediate", recipe.intermediate), ("prediction", recipe.prediction))
    return [(name, section) for name, section in stages if section]
