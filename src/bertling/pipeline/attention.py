"""The attention of a finished run's teacher and student: which texts, which models, where it is written."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from bertling.data.examples import Examples
from bertling.data.tokenized_examples import tokenize_examples
from bertling.errors import DataError, ModelError, RunFolderError
from bertling.evaluation.attention_analysis import analyse_attention
from bertling.evaluation.environment import describe_environment
from bertling.files import write_whole
from bertling.models.task_model import load_task_model
from bertling.models.teacher import load_tokenizer
from bertling.objectives.terms import LabelTerm
from bertling.pipeline.context import task_of
from bertling.recipe.load import load_recipe
from bertling.results_of_attention import AnalysedRole, AttentionResults, digest_of_student
from bertling.states import EncoderStates


def attention(run: Path, *, examples: int = 200) -> AttentionResults:
    """Analyse what the heads of a run's teacher and student look at, and write ``RUN/attention.json``.

    A teacher that gives predictions alone, which may read other tokens, is left out.

    Args:
        run: folder of a finished run.
        examples: how many of the set that the run reports, evenly over all of it; all if there are fewer.

    Raises:
        RunFolderError: no folder of a run, or one that is not finished.
        DataError: it no longer holds the set that it reported.
        ModelError: a model that cannot be loaded, or shows no attention.
    """
    if not (run / "recipe.toml").is_file():
        raise RunFolderError(
            f"{run} is no run folder: it has no recipe.toml. Give the folder of a finished run"
        )
    recipe = load_recipe(run / "recipe.toml")
    task, reported = task_of(recipe), run / "stages" / "data" / "test.parquet"
    if task.sentence_embeddings:
        raise ModelError(
            f"the models of {run} embed texts and have no head, whose loss says which attention matters: "
            "give a run of another kind of task"
        )
    folders: dict[AnalysedRole, Path] = {"student": run / "student"}
    if not recipe.teacher.predictions_only:
        folders = {"teacher": run / "stages" / "teacher" / "model", **folders}
    for role, folder in folders.items():
        if not folder.is_dir():
            raise RunFolderError(
                f"{run} has no {role} (there is no {folder.relative_to(run)}): let the run come to its end, "
                "the same command goes on"
            )
    if not reported.is_file():
        raise DataError(
            f"{run} no longer holds the set that it reported (there is no {reported.relative_to(run)}): give "
            "its command again, which makes what is missing"
        )
    chosen = _spread(Examples.load(reported), examples)
    tokenizer = load_tokenizer(str(folders["student"]))
    models = {
        role: load_task_model(str(folder), task, label_names=chosen.label_names, new_head=False)
        for role, folder in folders.items()
    }
    texts = tokenize_examples(
        tokenizer,
        chosen,
        max_length_tokens=recipe.data.max_length_tokens,
        stride_tokens=recipe.data.stride_tokens,
    )
    term = LabelTerm(spans=task.question_answering)

    def loss(logits: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        states = EncoderStates(mask, embedding=torch.empty(0), hidden={}, logits=logits)
        losses: dict[str, Tensor] = term(states, None, labels)
        return losses["labels"]

    found = analyse_attention(models, tokenizer, texts, loss=loss)
    results = AttentionResults(
        student_digest=digest_of_student(run),
        texts=len(texts),
        tokens=found.tokens,
        sep_token=tokenizer.sep_token,
        cls_token=tokenizer.cls_token,
        uniform=found.uniform,
        models=found.models,
        map_explained=found.map_explained,
        examples=found.examples,
        environment=describe_environment(threads=torch.get_num_threads()),
    )
    write_whole(run / "attention.json", results.model_dump_json(indent=1))
    return results


def _spread(examples: Examples, count: int) -> Examples:
    """So many of them, evenly over all, since files are often in some order."""
    count = min(count, len(examples))
    return examples.take([position * len(examples) // count for position in range(count)])
