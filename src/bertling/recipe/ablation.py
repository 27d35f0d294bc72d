"""What an ablation runs: a recipe with each of its stages, and each of its loss terms, left out in turn."""

from __future__ import annotations

from typing import Any

from bertling.recipe.schema import Recipe

FULL = "full"
ABLATION = "ablation"
_DISTILLATION = ("general", "intermediate", "prediction")
_STATE_TERMS = ("embedding", "attention", "hidden")


def ablations(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe itself as ``full``, and for each thing that can be left out, the recipe without it.

    As in the paper's tables 2 and 3. "No task distillation" fine-tunes the student on the labels in the place
    of both task stages, and so does "no prediction loss" in the place of the second. A student without a
    general stage starts from the fine-tuned teacher. Baseline, yardsticks and report, which no student's
    score depends on, are left out everywhere.
    """
    tables = recipe.model_dump() | {"baseline": None, "report": None}
    tables["evaluate"] = {**tables["evaluate"], "yardsticks": ()}
    found = {FULL: tables}
    for stage in ("general", "augment", "intermediate"):
        if tables[stage]:
            found[f"no {stage} stage"] = _without_stage(tables, stage)
    if tables["intermediate"]:
        found["no task distillation"] = _on_labels(_without_stage(tables, "intermediate"))
    used = dict.fromkeys(
        term
        for stage in _DISTILLATION
        if tables[stage]
        for term, weight in tables[stage]["terms"].items()
        if weight and term != "labels"
    )
    for term in used:
        found[f"no {term} loss"] = _without_terms(tables, term)
    states = [term for term in used if term in _STATE_TERMS]
    if len(states) > 1:
        found["no transformer losses"] = _without_terms(tables, *states)
    return {name: Recipe.model_validate(changed) for name, changed in found.items()}


def _without_stage(tables: dict[str, Any], stage: str) -> dict[str, Any]:
    changed = {**tables, stage: None}
    if stage == "general" and not tables["data"]["unlabelled"]:
        # its corpus goes with it
        for name in ("intermediate", "prediction"):
            if changed[name]:
                changed[name] = {**changed[name], "unlabelled": False}
    return changed


def _without_terms(tables: dict[str, Any], *terms: str) -> dict[str, Any]:
    if "masked_lm" in terms:
        terms = (*terms, "soft_masked_lm")  # which guesses with its head
    changed = dict(tables)
    for stage in _DISTILLATION:
        if tables[stage]:
            kept = {name: weight for name, weight in tables[stage]["terms"].items() if name not in terms}
            changed[stage] = {**tables[stage], "terms": kept}
            if not kept.get("attention"):
                changed[stage]["no_op_threshold"] = None
    for stage in ("general", "intermediate"):
        if changed[stage] and not any(changed[stage]["terms"].values()):
            changed = _without_stage(changed, stage)
    return changed if any(changed["prediction"]["terms"].values()) else _on_labels(changed)


def _on_labels(tables: dict[str, Any]) -> dict[str, Any]:
    on_labels = {"terms": {"labels": 1.0}, "unlabelled": False, "no_op_threshold": None}
    return {**tables, "prediction": {**tables["prediction"], **on_labels}}
