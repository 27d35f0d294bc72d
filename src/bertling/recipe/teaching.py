"""What teachers that give predictions alone can teach, and what they cannot. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertling.recipe.section import TermName
from bertling.tasks import GLUE

if TYPE_CHECKING:
    from bertling.recipe.schema import Recipe

_OF_PREDICTIONS: tuple[TermName, ...] = ("prediction", "soft_targets", "labels")


def first_problem(recipe: Recipe) -> str | None:
    """What the recipe's teacher cannot teach, in words; None where all is well."""
    if not recipe.teacher.predictions_only:
        if recipe.student.source:
            return (
                "[student] source: the student of [teacher] model is made from that model; leave it out, or "
                'give teachers of predictions alone, [teacher] models = [{model = "..."}]'
            )
        return None
    kind = "models" if recipe.teacher.models else "soft_labels"
    return (
        _no_student(recipe, kind)
        or _terms_of_states(recipe, kind)
        or _texts(recipe, kind)
        or (_columns(recipe) if recipe.teacher.soft_labels else None)
    )


def _no_student(recipe: Recipe, kind: str) -> str | None:
    if recipe.student.model or recipe.student.source:
        return None
    return (
        f"[student] source is missing: [teacher] {kind} gives predictions alone, so the student and its "
        "tokenizer come from elsewhere. Name an encoder to make it from, such as a small pretrained one "
        "(initialization says whether its weights are taken), or a student that exists already as model"
    )


def _terms_of_states(recipe: Recipe, kind: str) -> str | None:
    for name, section in (("intermediate", recipe.intermediate), ("prediction", recipe.prediction)):
        terms = section.terms if section else {}
        wrong = [term for term, weight in terms.items() if weight and term not in _OF_PREDICTIONS]
        if wrong:
            instead = f"use {' or '.join(_OF_PREDICTIONS)}"
            return (
                f"[{name}] terms: {', '.join(wrong)}: states of the teacher are compared there, and "
                f"[teacher] {kind} gives predictions alone; "
                f"{'leave the section out' if name == 'intermediate' else instead}"
            )
    return None


def _texts(recipe: Recipe, kind: str) -> str | None:
    for key in ("word_labels", "question_answering"):
        if not getattr(recipe.task, key):
            continue
        return (
            f"[task] {key}: [teacher] {kind} is for labels of texts; give a teacher with the student's "
            "tokenizer as [teacher] model"
        )
    for name, section in (("intermediate", recipe.intermediate), ("prediction", recipe.prediction)):
        if section and section.unlabelled:
            why = (
                "such text is kept as the student's tokens, which the teachers cannot read; leave it out, or "
                "grow the training set with [augment]"
            )
            if kind == "soft_labels":
                why = "such text has no soft labels; give it some, in the training file"
            return f"[{name}] unlabelled: {why}"
    if recipe.augment and kind == "soft_labels":
        return (
            "[augment] makes new texts, and nobody is there to give them soft labels; leave the section out, "
            "or put texts of your own with soft labels into the training file"
        )
    return None


def _columns(recipe: Recipe) -> str | None:
    soft, task = recipe.teacher.soft_labels or {}, recipe.task
    if recipe.data.train is None:
        return "[teacher] soft_labels: they are columns of files, [data] train and test"
    if task.name in GLUE:
        regression, label = GLUE[task.name].regression, GLUE[task.name].label
        names = list((GLUE[task.name].labels or {}).values())
    else:
        regression, label, names = bool(task.regression), task.label or "label", list(task.labels or ())
    if regression:
        names = [label]
    if names and set(names) != set(soft):
        listed = ", ".join(f'{name} = "..."' for name in names)
        return f"[teacher] soft_labels: got {', '.join(soft)}; expected {{{listed}}}"
    if len(soft) < 2 and not regression:
        return f"[teacher] soft_labels: got {', '.join(soft)} alone; expected a column for each of the labels"
    return None
