"""A job of two workers, which test_augmentation_workers.py kills: python two_workers.py OUT NOTES."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.augmentation.stub_finder import StubSettings
from tests.augmentation.test_augmentation_workers import EXAMPLES

from bertling.augmentation.workers import augment_with_workers

if __name__ == "__main__":
    folder, notes = map(Path, sys.argv[1:])
    finder = StubSettings(notes, seconds=0.3).build
    augment_with_workers(EXAMPLES, finder, folder, workers=2, seed=3, shard_rows=2)
