"""The training loop of every stage: transformers' Trainer with the pieces that distillation needs.

Changed against the stock Trainer, and why:

* a step's loss is the sum over its examples divided once by their number, over micro-batches and processes,
  so that padding, regrouping, accumulation and processes leave the gradient unchanged;
* batches come from `GroupedBatchSampler`, whose order is a function of seed and epoch;
* a checkpoint counts only once it is whole;
* a loss or gradient that is not finite stops the run before the weights take it in;
* each term's mean is logged, and the number of tokens seen.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from bertling.data.collation import PadToLongest
from bertling.data.sampler import Draw, GroupedBatchSampler
from bertling.data.tokenization import TokenRows
from bertling.errors import DataError, ModelError, NonFiniteLossError
from bertling.models.masking import RowMasking
from bertling.models.packed import refuse_unpackable
from bertling.objectives.objective import Objective
from bertling.training.checkpoints import mark_whole
from bertling.training.distillation_model import DistillationModel
from bertling.training.teacher_cache import TeacherCache, pad_taught


class DistillationTrainer(Trainer):
    """Trains a student towards an objective.

    Args:
        student: the model that trains; it is changed in place.
        objective: its loss.
        teacher: a model; or a `TeacherCache` of the same rows; None if the objective reads labels alone.
        args: transformers' own; `training_arguments` makes them.
        train_dataset: tokenised texts, or blocks of them.
        tokenizer: for padding.
        masking: hides tokens of each row, for masked-LM terms; student and teacher read the same. Not with a
            cache, which knows only the rows as they are.
        callbacks: further callbacks.

    Raises:
        ModelError: objective, student and teacher do not fit together, one cannot read packed rows, or the
            weights are to be spread over processes (FSDP, DeepSpeed).
        DataError: the teacher cache is one of other rows.
        NonFiniteLossError: from ``train()``, where a loss or a gradient is not finite.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        objective: Objective,
        *,
        teacher: PreTrainedModel | TeacherCache | None = None,
        args: TrainingArguments,
        train_dataset: TokenRows,
        tokenizer: PreTrainedTokenizerBase,
        masking: RowMasking | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        _refuse_sharded(args)
        # Several GPUs are for torchrun; DataParallel would average what must be summed.
        if args.n_gpu > 1:
            args._n_gpu = 1
        self._sampler = GroupedBatchSampler(
            train_dataset.lengths,
            batch_size=args.per_device_train_batch_size,
            seed=args.data_seed if args.data_seed is not None else args.seed,
            processes=args.world_size,
            rank=args.process_index,
        )
        self._texts = train_dataset
        self._masking = masking
        self._cache = teacher if isinstance(teacher, TeacherCache) and objective.needs_teacher else None
        if self._cache is not None and len(self._cache) != len(train_dataset):
            raise DataError(
                f"the teacher cache holds {len(self._cache)} rows and the training set {len(train_dataset)}: "
                "fill it with the same rows"
            )
        if self._cache is not None and masking is not None:
            raise DataError(
                "tokens are hidden anew each epoch, and a teacher cache has none hidden: give the teacher"
            )
        if train_dataset.packed:
            for model in (student, teacher):
                if isinstance(model, PreTrainedModel):
                    refuse_unpackable(model.config)
        self._term_sums: dict[str, Tensor | float] = defaultdict(float)
        self._examples_seen = 0.0
        super().__init__(
            model=DistillationModel(student, objective, teacher),
            args=args,
            train_dataset=train_dataset,
            data_collator=_Collate(PadToLongest(tokenizer)),
            callbacks=[_Epochs(self._sampler), _LastPoint(), _FiniteGradients(), *callbacks],
        )
        # What they print is in the logs; progress is a callback of its own.
        for printer in (PrinterCallback, ProgressCallback):
            self.remove_callback(printer)
        self._distilled.place_teacher(args.device)

    @property
    def _distilled(self) -> DistillationModel:
        unwrapped = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        assert isinstance(unwrapped, DistillationModel)
        return unwrapped

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of this process alone, in the sampler's order."""
        return DataLoader(
            _Drawn(self._texts, self._cache, self._masking),
            batch_sampler=self._sampler,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type == "cuda",
            # Its own generator, or making an iterator would draw from the one that dropout uses.
            generator=torch.Generator(),
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """The micro-batches of a step, and the number of examples in all of them, over all processes."""
        batches = list(islice(epoch_iterator, num_batches))
        if not batches:
            return [], None
        # Both in one tensor: with several processes each costs a round of waiting. Tokens of duplicates are
        # read too, but they do not count.
        counts = torch.tensor([[_examples(batch), _tokens(batch)] for batch in batches], dtype=torch.float64)
        counted = counts.sum(0)
        if self.args.world_size > 1:
            counted = self.accelerator.reduce(counted.to(device), reduction="sum")
        self.state.num_input_tokens_seen += int(counted[1])
        return batches, counted[0].to(device, torch.float32)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """This micro-batch's share of the step's mean loss, scaled for the averaging over processes."""
        output = model(**inputs)
        self._examples_seen += float(inputs["example_weight"].sum())
        for name, value in output["terms"].items():
            self._term_sums[name] = self._term_sums[name] + value
        if not torch.isfinite(output["loss"]):
            raise NonFiniteLossError(self._where_not_finite(output["terms"]))
        assert num_items_in_batch is not None
        # Gradients are averaged over processes, and the step's examples are counted over all of them.
        loss = output["loss"] / num_items_in_batch * self.args.world_size
        return (loss, output) if return_outputs else loss

    def _where_not_finite(self, terms: dict[str, Tensor]) -> str:
        bad = [name for name, value in terms.items() if not torch.isfinite(value)] or ["the sum of all terms"]
        return (
            f"the loss is not finite at step {self.state.global_step + 1} of {self.state.max_steps} "
            f"(epoch {self.state.epoch or 0:.2f}): {', '.join(bad)}. The last checkpoint is from before it. "
            "Lower learning_rate, or use precision = 'float32'"
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with the mean of each term over the examples since the last time as ``term/NAME``."""
        # Not by the number of examples: a process that saw duplicates alone must take part in the sum.
        if self._term_sums:
            names = list(self._term_sums)
            sums = torch.tensor([float(self._term_sums[name]) for name in names] + [self._examples_seen])
            if self.args.world_size > 1:
                sums = self.accelerator.reduce(sums.to(self.args.device), reduction="sum").cpu()
            for name, value in zip(names, sums[:-1] / sums[-1], strict=True):
                logs[f"term/{name}"] = float(value)
            self._term_sums.clear()
            self._examples_seen = 0.0
        logs["tokens"] = self.state.num_input_tokens_seen
        super().log(logs, start_time)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_whole(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")


def _refuse_sharded(args: TrainingArguments) -> None:
    """FSDP and DeepSpeed gather only the weights that a module's own forward pass reads.

    Projections train beside the student and are fitted outside of any forward pass, the student is saved as
    a model of its own, and the clipped gradient is read weight by weight: all of these need whole weights.
    """
    for name in ("fsdp", "deepspeed"):
        if getattr(args, name, None) or os.environ.get(f"ACCELERATE_USE_{name.upper()}") == "true":
            raise ModelError(
                f"{name} spreads a model's weights over processes, and distillation here needs them whole in "
                "each: a student is small. Start the processes with torchrun alone, and leave it out"
            )


def _examples(batch: dict[str, Tensor]) -> float:
    return float(batch["example_weight"].sum())


def _tokens(batch: dict[str, Tensor]) -> float:
    """Real tokens of a batch that is no duplicate; a process's batch is one as a whole, or not at all."""
    return float(batch["attention_mask"].sum()) if batch["example_weight"].any() else 0.0


class _Drawn(Dataset[dict[str, Any]]):
    """Looks a draw up, hides tokens or adds what a teacher cache has of it, and notes its weight."""

    def __init__(self, examples: TokenRows, cache: TeacherCache | None, masking: RowMasking | None) -> None:
        self._examples = examples
        self._cache = cache
        self._masking = masking

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        item = {**self._examples[draw.example], "example_weight": draw.weight}
        if self._masking is not None:
            item = self._masking(item, row=draw.example, epoch=draw.epoch)
        if self._cache is not None:
            item["taught"] = self._cache[draw.example]
        return item


class _Collate:
    """Pads examples, and what a teacher cache has of them."""

    def __init__(self, pad: PadToLongest) -> None:
        self._pad = pad

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self._pad(examples)
        if "taught" in examples[0]:
            real = batch["attention_mask"].bool().numpy()
            batch["taught"] = pad_taught([example["taught"] for example in examples], real)
        return batch


class _Epochs(TrainerCallback):
    """Tells the sampler its epoch; the Trainer reaches only samplers that accelerate has wrapped."""

    def __init__(self, sampler: GroupedBatchSampler) -> None:
        self._sampler = sampler

    def on_epoch_begin(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        self._sampler.set_epoch(int(state.epoch or 0))


class _LastPoint(TrainerCallback):
    """The loss curves end at the last step, be it a multiple of ``log_steps`` or not."""

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = True


class _FiniteGradients(TrainerCallback):
    """A finite loss can have a gradient that is not; without this the weights would be lost a step later."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: Any, control: Any, model: nn.Module | None = None, **kwargs: Any
    ) -> None:
        assert model is not None
        # Not by name: clipping has made all of them NaN by now.
        norms = torch._foreach_norm([p.grad for p in model.parameters() if p.grad is not None])
        if not torch.isfinite(torch.stack(norms)).all():
            raise NonFiniteLossError(
                f"the gradient is not finite at step {state.global_step + 1} of {state.max_steps}. "
                "The weights are those from before this step. "
                "Lower learning_rate, or use precision = 'float32'"
            )
