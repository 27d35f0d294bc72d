"""What test_processes.py runs under torchrun: FOLDER is where every process leaves what it saw."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from tests.training import toy

from bertling.pipeline.processes import part
from bertling.training.checkpoints import last_whole_checkpoint

GRADIENT_CASES = {
    # 9 examples in batches of 2 x 4 leave one over: the second process gets a duplicate of weight 0.
    "one left over": {"count": 9, "batch_size": 4, "accumulation_steps": 1},
    "one left over, accumulated": {"count": 17, "batch_size": 4, "accumulation_steps": 2},
    "three left over": {"count": 19, "batch_size": 4, "accumulation_steps": 2},
}
RESUME: dict[str, Any] = {"dropout": 0.3, "epochs": 2.0, "batch_size": 2, "learning_rate": 1e-2}
RESUME_COUNT = 15
RESUME_STEP = 3


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    rank = os.environ["RANK"]
    for name, case in GRADIENT_CASES.items():
        kept = toy.KeepGradients()
        trainer = toy.trainer(
            folder / name,
            toy.texts(case["count"]),
            callbacks=[kept],
            double=True,
            learning_rate=0.0,
            max_gradient_norm=0.0,
            epochs=1.0,
            batch_size=case["batch_size"],
            accumulation_steps=case["accumulation_steps"],
        )
        trainer.train()
        torch.save({"gradients": kept.steps, "log": trainer.state.log_history}, folder / f"{name} {rank}.pt")

    # Resumed in the first epoch and in the second, where the sampler's order is another.
    for step in (None, RESUME_STEP, RESUME_STEP + 4):
        here = folder / f"resume {step}"
        trainer = toy.trainer(here, toy.texts(RESUME_COUNT), checkpoint_steps=1, **RESUME)
        trainer.args.save_total_limit = None
        trainer.train(
            resume_from_checkpoint=None
            if step is None
            else str(folder / "resume None" / f"checkpoint-{step}")
        )
        whole = last_whole_checkpoint(here)
        assert whole is not None
        torch.save(
            {"weights": toy.weights_of(trainer.trained.student), "last": whole.name},
            folder / f"resume {step} {rank}.pt",
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    part()
