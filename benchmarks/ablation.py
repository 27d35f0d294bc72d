"""What an ablation's students say of labelled examples that no stage has seen, beside its own table.

    bertling ablate sst2-full --seeds 3 --set ... --set output=FOLDER
    python benchmarks/ablation.py FOLDER-ablation --unseen ../shared/data/glue/SST-2/train.tsv \\
        --json benchmarks/results/ablation-sst2.json

A development set of some hundred examples cannot tell most parts of a recipe apart. Where the recipe drew a
part of the training examples, the rest are examples like any other, and a task may have a labelled test set.
--unseen names a file with the task's columns; texts that any of the seeds trained on are left out of it.
Every student answers the same examples; the paired bootstrap over examples and seeds gives the intervals.

One caution: SST-2's training examples are phrases, many of which are parts of the same sentence. What is
unseen here is a phrase, and not always its sentence; that holds for every student alike.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertling.data.examples import Examples
from bertling.data.loading import read_examples
from bertling.evaluation.bootstrap import Answers, resampled_means
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.metrics import score
from bertling.models.teacher import load_classifier, load_tokenizer
from bertling.pipeline.judging import answer, default_length
from bertling.recipe.ablation import FULL
from bertling.results import Results
from bertling.results_across_runs import AblationResults
from bertling.tasks import GLUE, Task

TEACHER = "teacher"
RESAMPLES = 1000
BATCH_SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "ablation", type=Path, help="what `bertling ablate` wrote: the folder FOLDER-ablation"
    )
    parser.add_argument("--unseen", type=Path, required=True)
    parser.add_argument("--most", type=int, default=10_000, help="draw so many of the unseen examples")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()

    ablation = AblationResults.model_validate_json((arguments.ablation / "ablation.json").read_text())
    task = GLUE[ablation.task]
    runs = {
        row.name: [arguments.ablation / f"{row.name.replace(' ', '-')}-seed{seed}" for seed in ablation.seeds]
        for row in ablation.rows
    }
    unseen = unseen_examples(arguments.unseen, task, runs[FULL], most=arguments.most)
    answers: dict[str, Answers] = {
        TEACHER: [answers_of(run / "stages" / "teacher" / "model", unseen, task) for run in runs[FULL]]
    }
    for name, folders in runs.items():
        answers[name] = [answers_of(run / "student", unseen, task) for run in folders]
        print(f"{name}: answered", flush=True)

    report: dict[str, Any] = {
        "environment": ablation.environment.model_dump(),
        "judged_in": describe_environment(threads=torch.get_num_threads()).model_dump(),
        "budget": budget(runs[FULL][0]),
        "teacher_scores": ablation.teacher_scores,
        "evaluation_examples": ablation.evaluation_examples,
        "unseen_examples": len(unseen),
        "rows": rows(ablation, answers, unseen, task),
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    for row in report["rows"]:
        interval = "[{:+.2f}, {:+.2f}]".format(*(100 * bound for bound in row["unseen_change_interval"]))
        print(
            f"{row['case']:<24} dev {100 * row['value']:.1f} ({100 * row['change']:+.1f})"
            f"  unseen {100 * row['unseen']:.1f} ({100 * row['unseen_change']:+.2f} {interval})"
        )


def unseen_examples(path: Path, task: Task, runs: Sequence[Path], *, most: int) -> Examples:
    """At most so many of the file's examples, without those whose texts a run trained on."""
    examples = read_examples(path, task)
    seen: set[tuple[str, str]] = set()
    for run in runs:
        seen.update(texts_of(Examples.load(run / "stages" / "data" / "train.parquet")))
    left = [row for row, texts in enumerate(texts_of(examples)) if texts not in seen]
    return examples.take(left).draw(most, seed=0)


def texts_of(examples: Examples) -> list[tuple[str, str]]:
    pairs = examples.text_pairs or [""] * len(examples)
    return list(zip(examples.texts, pairs, strict=True))


def answers_of(model: Path, examples: Examples, task: Task) -> np.ndarray[Any, Any]:
    classifier = load_classifier(
        str(model), label_names=examples.label_names, new_head=False, regression=task.regression
    )
    return answer(
        classifier,
        load_tokenizer(str(model)),
        examples,
        task,
        max_length_tokens=default_length(task),
        batch_size=BATCH_SIZE,
    )


def budget(run: Path) -> dict[str, Any]:
    """Examples, and tokens of each stage that trains something."""
    results = Results.model_validate_json((run / "results.json").read_text())
    tokens = {stage: points[-1].tokens for stage, points in results.histories.items() if points}
    return {"training_examples": results.data.train_examples, "tokens": tokens}


def rows(
    ablation: AblationResults, answers: Mapping[str, Answers], unseen: Examples, task: Task
) -> list[dict[str, Any]]:
    """The teacher's scores are rows of their own; changes are to the whole recipe, intervals hold 95%."""
    labels = unseen.label_array()
    resampled = resampled_means(task.metric, answers, [labels] * len(ablation.seeds), resamples=RESAMPLES)
    means = {
        name: float(np.mean([score(task.metric, one, labels) for one in given]))
        for name, given in answers.items()
    }
    on_dev = {row.name: (row.mean, row.change, row.change_standard_error) for row in ablation.rows}
    teacher = float(np.mean(ablation.teacher_scores))
    on_dev[TEACHER] = (teacher, teacher - on_dev[FULL][0], None)
    return [
        {
            "case": name,
            "figure": "score",
            "value": on_dev[name][0],
            "unit": task.metric,
            "change": on_dev[name][1],
            "change_standard_error": on_dev[name][2],
            "unseen": means[name],
            "unseen_change": means[name] - means[FULL],
            "unseen_change_interval": np.percentile(resampled[name] - resampled[FULL], (2.5, 97.5)).tolist(),
        }
        for name in answers
    ]


if __name__ == "__main__":
    main()
