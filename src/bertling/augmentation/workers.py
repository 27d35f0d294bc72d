"""Augmentation by several processes of one machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from bertling.augmentation.augmented import AugmentedSizes
from bertling.augmentation.job import (
    SHARD_ROWS,
    Finder,
    ShardMaker,
    augment,
    finish,
    missing_shards,
    prepare,
    read_plan,
)
from bertling.data.examples import Examples
from bertling.data.worker_process import end_with_parent
from bertling.errors import WorkerError

_maker: ShardMaker
"""Of a worker process, which makes one shard after the other with it."""


def augment_with_workers(
    examples: Examples,
    finder: Callable[[], Finder],
    folder: Path,
    *,
    workers: int,
    variants: int = 20,
    probability: float = 0.4,
    seed: int,
    shard_rows: int = SHARD_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> AugmentedSizes:
    """As ``augment``, by several processes that share out the shards, and torch's threads.

    What is written does not depend on their number. A process that dies ends the job with an error, and
    never leaves it waiting; a job that dies takes its processes along. Either way the finished shards stay,
    and the next run makes the others.

    The processes start afresh and import the program's main module: a script of your own needs its
    ``if __name__ == "__main__":``.

    Args:
        examples: what to make variants of.
        finder: builds the finder, in each process; with more than one it has to be picklable, as
            ``FinderSettings(...).build`` is.
        folder: as for ``augment``.
        workers: processes; 1 is this one.
        variants: N, the most that an example gets beside itself.
        probability: p, with which each replaceable word is replaced.
        seed: of all draws.
        shard_rows: source rows of a shard, which the finder gets together.
        progress: as for ``augment``.

    Raises:
        WorkerError: a process died.
        DataError, RunFolderError, ShapeError: as for ``augment``; and what the finder raises.
    """
    if workers < 2:
        return augment(
            examples,
            finder,
            folder,
            variants=variants,
            probability=probability,
            seed=seed,
            shard_rows=shard_rows,
            progress=progress,
        )
    prepare(examples, folder, variants=variants, probability=probability, seed=seed, shard_rows=shard_rows)
    _share_out(folder, finder, workers, progress or (lambda done, total: None))
    return finish(folder)


def _share_out(
    folder: Path, finder: Callable[[], Finder], workers: int, report: Callable[[int, int], None]
) -> None:
    plan, missing = read_plan(folder), missing_shards(folder)
    report(plan.rows_outside(missing), plan.rows)
    if not missing:
        return
    # Not multiprocessing.Pool, nor datatrove's local executor, which is one: when a process of theirs is
    # killed, they wait for its result for ever. And not fork, which copies torch's threads half.
    pool = ProcessPoolExecutor(
        min(workers, len(missing)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(folder, finder, max(1, torch.get_num_threads() // workers)),
    )
    try:
        made = {pool.submit(_make, shard): shard for shard in missing}
        for future in as_completed(made):
            future.result()
            missing.remove(made[future])
            report(plan.rows_outside(missing), plan.rows)
    except BrokenProcessPool as error:
        shards = len(plan.shards)
        raise WorkerError(
            "a process that augments was ended from outside, as the system does when memory runs out; "
            f"{shards - len(missing_shards(folder))} of {shards} shards are finished. Run it again, with "
            "fewer workers if memory is short: what is finished is kept."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(folder: Path, finder: Callable[[], Finder], threads: int) -> None:
    global _maker
    end_with_parent()
    torch.set_num_threads(threads)
    _maker = ShardMaker(folder, finder)


def _make(shard: int) -> None:
    _maker.make(shard)
