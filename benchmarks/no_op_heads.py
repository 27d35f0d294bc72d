"""Whether it helps to leave the teacher's no-op heads out of the attention loss.

    python benchmarks/no_op_heads.py sst2-full --set ... --work SCRATCH --seeds 3 \\
        --unseen ../shared/data/glue/SST-2/train.tsv --json benchmarks/results/no_op_heads-sst2.json

A head that gives most of its attention to [CLS] and [SEP] does nothing there (Clark et al. 2019), and its
scores may not be worth a student's while. The recipe runs as it is, and with ``no_op_threshold`` in its
general and intermediate stages; teacher, augmentation and data are the same. As in ablation.py, every
student also answers labelled examples that none of the runs has seen; the paired bootstrap is over examples
and seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from ablation import RESAMPLES, answers_of, budget, unseen_examples
from bertling.evaluation.bootstrap import Answers, resampled_means
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.metrics import score
from bertling.pipeline.variants import run_variants
from bertling.recipe.load import load_recipe
from bertling.recipe.schema import Recipe
from bertling.tasks import GLUE

ALL = "all heads"
STAGES = ("general", "intermediate")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="of a GLUE task")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.5, 0.4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--unseen", type=Path, required=True, help="labelled examples in the task's columns")
    parser.add_argument("--most", type=int, default=10_000, help="draw so many of them")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()

    environment = describe_environment(threads=torch.get_num_threads())
    recipe = load_recipe(arguments.recipe, arguments.set)
    variants = {ALL: recipe}
    variants |= {f"threshold-{value:g}": without_heads(recipe, value) for value in arguments.thresholds}
    runs = run_variants(
        {name.replace(" ", "-"): variant for name, variant in variants.items()},
        arguments.work,
        seeds=range(recipe.seed, recipe.seed + arguments.seeds),
        console=Console(),
    )
    task = GLUE[recipe.task.name]
    folders = {
        name: [run.recipe.folder for run in given]
        for name, given in zip(variants, runs.values(), strict=True)
    }
    unseen = unseen_examples(arguments.unseen, task, folders[ALL], most=arguments.most)
    answers: dict[str, Answers] = {
        name: [answers_of(folder / "student", unseen, task) for folder in given]
        for name, given in folders.items()
    }
    labels = unseen.label_array()
    resampled = resampled_means(task.metric, answers, [labels] * arguments.seeds, resamples=RESAMPLES)
    means = {
        name: float(np.mean([score(task.metric, one, labels) for one in given]))
        for name, given in answers.items()
    }
    rows: list[dict[str, Any]] = []
    for name, given in zip(variants, runs.values(), strict=True):
        rows.append(
            {
                "case": name,
                "figure": "score",
                "value": float(np.mean([run.results.student.score for run in given])),
                "unit": task.metric,
                "unseen": means[name],
                "unseen_change": means[name] - means[ALL],
                "unseen_change_interval": np.percentile(
                    resampled[name] - resampled[ALL], (2.5, 97.5)
                ).tolist(),
                "left_out": [left_out(folder) for folder in folders[name]],
            }
        )
        low, high = (100 * bound for bound in rows[-1]["unseen_change_interval"])
        print(
            f"{name:<16} dev {100 * rows[-1]['value']:.1f}  unseen {100 * rows[-1]['unseen']:.2f} "
            f"({100 * rows[-1]['unseen_change']:+.2f} [{low:+.2f}, {high:+.2f}])"
        )
    report = {
        "environment": environment.model_dump(),
        "budget": budget(folders[ALL][0]),
        "unseen_examples": len(unseen),
        "rows": rows,
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def without_heads(recipe: Recipe, threshold: float) -> Recipe:
    """The recipe with the threshold in the stages that it has of the two."""
    tables = recipe.model_dump()
    for stage in STAGES:
        if tables[stage]:
            tables[stage]["no_op_threshold"] = threshold
    return Recipe.model_validate(tables)


def left_out(run: Path) -> dict[str, Any]:
    """What each stage noted of the heads that it left out."""
    notes = {stage: run / "stages" / stage / "no_op_heads.json" for stage in STAGES}
    return {stage: json.loads(note.read_text()) for stage, note in notes.items() if note.exists()}


if __name__ == "__main__":
    main()
