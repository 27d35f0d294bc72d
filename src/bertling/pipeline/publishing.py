"""What a run leaves for its user: ``results.json``, and students as folders that transformers loads."""

from __future__ import annotations

import shutil
from pathlib import Path

from bertling.files import write_whole
from bertling.pipeline.card import general_card, model_card
from bertling.pipeline.context import Context
from bertling.results import Results


def publish_general(context: Context) -> None:
    """``RUN/general/``: the general student, a base model that can be the student of any task's recipe."""
    model = Path(context.model_of("general"))
    _publish(model, context.folder / "general", general_card(model, context.recipe))


def publish(context: Context, results: Results) -> None:
    """``RUN/results.json``, and ``RUN/student/``, the classifier or regressor."""
    write_whole(context.folder / "results.json", results.model_dump_json(indent=1))
    student = Path(context.model_of("prediction"))
    _publish(student, context.folder / "student", model_card(results, context.recipe))


def _publish(model: Path, final: Path, card: str) -> None:
    partial = final.with_name(f"{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(model, partial)
    (partial / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    partial.replace(final)
