"""The ladder of serving: one run's teacher in plain PyTorch, and its student step by step faster.

    bertling export RUN
    python benchmarks/inference.py RUN --threads 1 --json benchmarks/results/inference.json

Every rung has the same number of cores: ``--threads`` of PyTorch or ONNX Runtime, or as many workers with one
thread each. All rungs are timed in turn on the run's own evaluation texts. Rungs so far: the teacher padded
to the length limit, without padding; the student in PyTorch; in ONNX Runtime; in int8; and the best use of
the cores, batches by length and several workers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling import Predictor, load_classifier, load_recipe, load_tokenizer
from bertling.data.examples import Examples
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.latency import Latency, measure_latency
from bertling.evaluation.metrics import score
from bertling.evaluation.scores import predictions
from bertling.evaluation.size import model_size
from bertling.inference.texts import Text
from bertling.pipeline.context import task_of
from bertling.tasks import Task

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rung:
    """A way to answer texts: all of them, or one at a time; and the bytes of its weights."""

    name: str
    size_bytes: int
    answer: Callable[[Sequence[Text]], Logits]
    batched: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--texts", type=int, default=872)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    environment = describe_environment(threads=arguments.threads).model_dump()
    recipe = load_recipe(arguments.run / "recipe.toml")
    task = task_of(recipe)
    examples = Examples.load(arguments.run / "stages" / "data" / "test.parquet")
    examples = examples.draw(arguments.texts, seed=0)
    if examples.text_pairs is not None or examples.words is not None:
        parser.error("the ladder is of single texts; give a run of such a task")
    ladder = _rungs(arguments.run, task, examples, recipe.data.max_length_tokens, arguments.threads)
    latency = _latencies(ladder, examples.texts, arguments.threads)
    seconds, answers = _timed(ladder, examples.texts, arguments.rounds)
    rows: list[dict[str, Any]] = []
    for rung in ladder:
        logits = answers[rung.name]
        figures = {
            "throughput": (len(examples) / median(seconds[rung.name]), "texts/s"),
            "size": (rung.size_bytes, "bytes"),
            "score": (_score(task, examples, logits), task.metric),
        }
        if rung.name in latency:
            figures["latency_p50"] = (latency[rung.name].p50_ms, "ms")
            figures["latency_p99"] = (latency[rung.name].p99_ms, "ms")
        rows += [_row(rung.name, figure, value, unit) for figure, (value, unit) in figures.items()]
    _compare(rows, ladder[0].name)
    arguments.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")
    for row in rows:
        ratio = f"{row['ratio']:8.2f}x" if "ratio" in row else ""
        print(f"{row['case']:<45} {row['figure']:<12} {row['value']:>14,.4f} {row['unit']:<9} {ratio}")


def _rungs(run: Path, task: Task, examples: Examples, length: int, threads: int) -> list[Rung]:
    rungs = []
    for role, folder in (("teacher", run / "stages" / "teacher" / "model"), ("student", run / "student")):
        model = load_classifier(
            str(folder), label_names=examples.label_names, new_head=False, regression=task.regression
        )
        tokenizer = load_tokenizer(str(folder))
        for padded in (True, False) if role == "teacher" else (False,):
            name = f"{role}, PyTorch, " + (f"padded to {length}" if padded else "batch 1")
            rungs.append(Rung(name, model_size(folder), _pytorch(model, tokenizer, length, padded=padded)))
    for precision in ("float32", "int8"):
        folder = run / "export" / precision
        size = (folder / "model.onnx").stat().st_size
        one = Predictor(folder, threads=threads, batch_size=1)
        rungs.append(Rung(f"student, {precision}, batch 1", size, one.logits))
        many = Predictor(folder, threads=threads, batch_size=32)
        rungs.append(Rung(f"student, {precision}, batches of 32", size, many.logits, batched=True))
        for size_of_batch in (1, 32) if threads > 1 else ():
            workers = Predictor(folder, threads=1, workers=threads, batch_size=size_of_batch)
            name = f"student, {precision}, {threads} workers, batches of {size_of_batch}"
            rungs.append(Rung(name, size, workers.logits, batched=True))
    return rungs


def _pytorch(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, length: int, *, padded: bool
) -> Callable[[Sequence[Text]], Logits]:
    padding: Any = "max_length" if padded else False

    @torch.inference_mode()
    def answer(texts: Sequence[Text]) -> Logits:
        rows = []
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=length, padding=padding, return_tensors="pt")
            rows.append(model(**inputs).logits[0].numpy())
        return np.stack(rows)

    return answer


def _latencies(ladder: Sequence[Rung], texts: Sequence[str], threads: int) -> dict[str, Latency]:
    """One text at a time."""

    def alone(rung: Rung) -> Callable[[str, str | None], object]:
        return lambda text, pair: rung.answer([text])

    timed = {rung.name: alone(rung) for rung in ladder if not rung.batched}
    return measure_latency(timed, [(text, None) for text in texts], threads=threads)


def _timed(
    ladder: Sequence[Rung], texts: Sequence[str], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Logits]]:
    """Seconds that each rung takes for all texts, in each round; and its logits."""
    seconds: dict[str, list[float]] = {rung.name: [] for rung in ladder}
    answers = {}
    for _ in range(rounds):
        for rung in ladder:
            start = time.perf_counter()
            answers[rung.name] = rung.answer(texts)
            seconds[rung.name].append(time.perf_counter() - start)
    return seconds, answers


def _score(task: Task, examples: Examples, logits: Logits) -> float:
    answers = predictions(logits, regression=task.regression, multi_label=task.multi_label)
    return score(task.metric, answers, examples.label_array(), label_names=examples.label_names)


def _row(case: str, figure: str, value: float, unit: str) -> dict[str, Any]:
    return {"case": case, "figure": figure, "value": value, "unit": unit}


def _compare(rows: list[dict[str, Any]], first: str) -> None:
    """Add how many times better than on the first rung each figure is; a score is a share of it."""
    references = {row["figure"]: row["value"] for row in rows if row["case"] == first}
    for row in rows:
        reference = references[row["figure"]]
        larger_is_better = row["figure"] in ("throughput", "score")
        if min(row["value"], reference) > 0:
            row["reference"] = reference
            row["ratio"] = row["value"] / reference if larger_is_better else reference / row["value"]


if __name__ == "__main__":
    main()
