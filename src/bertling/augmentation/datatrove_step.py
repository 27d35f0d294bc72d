"""Augmentation over several machines, by the executors of datatrove.

Prepare a folder that all machines see, then let each task of an executor do its part of the shards. On a
Slurm cluster:

    from datatrove.executor import SlurmPipelineExecutor
    from bertling.augmentation.datatrove_step import AugmentationStep
    from bertling.augmentation.finder_settings import FinderSettings
    from bertling.augmentation.job import prepare

    prepare(examples, folder, seed=0)
    SlurmPipelineExecutor(
        pipeline=[AugmentationStep(folder, FinderSettings(...).build)],
        tasks=64,
        time="04:00:00",
        partition="cpu",
        cpus_per_task=4,
        logging_dir=str(folder / "logs"),
        skip_completed=False,
    ).run()

On Ray it is ``RayPipelineExecutor`` with ``tasks`` and ``cpus_per_task``. The finished shards themselves say
what is done, also when a later run has another number of tasks; hence ``skip_completed=False``, without which
datatrove trusts marks of its own. On one machine, ``augment_with_workers`` needs no datatrove.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertling.augmentation.job import Finder, ShardMaker, finish, missing_shards
from bertling.errors import MissingExtraError

try:
    from datatrove.data import DocumentsPipeline
    from datatrove.pipeline.base import PipelineStep
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "datatrove", extra="jobs", needed_for="Augmentation over several machines"
    ) from error


class AugmentationStep(PipelineStep):
    """Of W tasks, rank r makes the shards r, r + W, r + 2 W and so on, and the last to end writes the index.

    Args:
        folder: as ``prepare`` left it; what comes of it is read with ``load_augmented``.
        finder: builds the finder; picklable, as ``FinderSettings(...).build`` is.
    """

    name = "augmentation"
    type = "bertling"

    def __init__(self, folder: Path, finder: Callable[[], Finder]) -> None:
        super().__init__()
        self.folder = folder
        self.finder = finder

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Make the shards of this rank; documents of other steps pass through."""
        maker = ShardMaker(self.folder, self.finder)
        for shard in maker.plan.shards[rank::world_size]:
            maker.make(shard)
        if not missing_shards(self.folder):
            finish(self.folder)
        yield from data or ()
