"""What test_augmentation_datatrove.py runs, once for each machine: one rank of datatrove's local executor.

python -m tests.augmentation.machine FOLDER NOTES LOGS RANK MACHINES DIES_AT
"""

from __future__ import annotations

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from tests.augmentation.stub_finder import StubSettings

from bertling.augmentation.datatrove_step import AugmentationStep

if __name__ == "__main__":
    folder, notes, logs, rank, machines, dies_at = sys.argv[1:]
    finder = StubSettings(Path(notes), dies_at).build
    LocalPipelineExecutor(
        pipeline=[AugmentationStep(Path(folder), finder)],
        tasks=int(machines),
        workers=1,
        local_tasks=1,
        local_rank_offset=int(rank),
        logging_dir=logs,
        skip_completed=False,
    ).run()
