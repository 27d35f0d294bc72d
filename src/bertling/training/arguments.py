"""transformers' TrainingArguments from the settings that matter here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from transformers import TrainingArguments


def training_arguments(
    folder: str | Path,
    *,
    epochs: float = 3.0,
    max_steps: int | None = None,
    batch_size: int = 32,
    accumulation_steps: int = 1,
    learning_rate: float = 5e-5,
    warmup_fraction: float = 0.1,
    weight_decay: float = 0.01,
    max_gradient_norm: float = 1.0,
    precision: Literal["float32", "bfloat16"] = "float32",
    compile: bool = False,
    checkpoint_steps: int | None = None,
    log_steps: int = 50,
    report_to: tuple[str, ...] = (),
    seed: int = 42,
) -> TrainingArguments:
    """Arguments for `DistillationTrainer`: AdamW, linear warm-up, then linear decay to zero.

    Args:
        folder: for checkpoints and logs.
        epochs: passes over the data; a fraction is allowed.
        max_steps: overrides epochs.
        batch_size: examples of one process and micro-batch.
        accumulation_steps: micro-batches in a step.
        learning_rate: the peak.
        warmup_fraction: share of the steps that warm up, below 1.
        weight_decay: of AdamW.
        max_gradient_norm: gradients are scaled down to it; 0 for none.
        precision: ``bfloat16`` runs the models under autocast; losses and weights stay float32.
        compile: torch.compile what trains.
        checkpoint_steps: steps between checkpoints, of which the last two are kept; None for no checkpoints.
        log_steps: steps between points of the loss curves.
        report_to: trackers, such as ``tensorboard``.
        seed: of dropout and of the order of the data.
    """
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        max_steps=max_steps if max_steps is not None else -1,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation_steps,
        learning_rate=learning_rate,
        warmup_steps=warmup_fraction,
        weight_decay=weight_decay,
        max_grad_norm=max_gradient_norm,
        lr_scheduler_type="linear",
        # Without it the Trainer refuses bfloat16 on a machine that has nothing but CPUs.
        use_cpu=not torch.accelerator.is_available(),
        bf16=precision == "bfloat16",
        torch_compile=compile,
        save_strategy="no" if checkpoint_steps is None else "steps",
        save_steps=checkpoint_steps or 500,
        # Two, so that one whole checkpoint is there while the next is being written.
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=log_steps,
        logging_nan_inf_filter=False,
        report_to=list(report_to),
        seed=seed,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=True,
    )


def emulates_bfloat16() -> bool:
    """Whether this machine computes bfloat16 without instructions for it, many times slower than float32."""
    if torch.accelerator.is_available():
        return False
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("architecture") != "x86_64":
        return False
    return not any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
