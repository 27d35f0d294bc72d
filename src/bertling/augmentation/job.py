"""Augmentation as a job that can be killed and gone on with, by one process or by many.

Its folder holds the examples and settings, the shards, and at the end the index. Shard k is made from the
source rows k * shard_rows up to (k + 1) * shard_rows and from nothing else, so that it does not matter who
makes it, after what, or beside whom. A shard that is there is whole, and is never made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bertling.augmentation.augmented import (
    AugmentedRow,
    AugmentedSizes,
    shard_path,
    write_index,
    write_shard,
)
from bertling.augmentation.variants import make_variants, row_generator
from bertling.data.examples import Examples
from bertling.errors import DataError, RunFolderError, ShapeError
from bertling.files import whole_file

if TYPE_CHECKING:
    from bertling.augmentation.candidates import Replaceable

SHARD_ROWS = 256
_PLAN = "plan.json"
_SOURCE = "source.parquet"


class Finder(Protocol):
    """Finds the words of texts that can be replaced, and by what; see ``CandidateFinder``."""

    def find(self, texts: Sequence[str]) -> Sequence[Sequence[Replaceable]]: ...


@dataclass(frozen=True)
class Plan:
    """What decides, with the examples and the finder, what is written."""

    rows: int
    variants: int
    probability: float
    seed: int
    shard_rows: int

    @property
    def shards(self) -> range:
        """The numbers of all shards."""
        return range(-(-self.rows // self.shard_rows))

    def source_rows(self, shard: int) -> range:
        """The rows that a shard is made from."""
        return range(self.rows)[shard * self.shard_rows : (shard + 1) * self.shard_rows]

    def rows_outside(self, missing: Sequence[int]) -> int:
        """How many source rows belong to other shards than these."""
        return self.rows - sum(len(self.source_rows(shard)) for shard in missing)


class ShardMaker:
    """Makes shards of a prepared folder; finder and examples are loaded for the first one that is missing.

    Args:
        folder: as ``prepare`` left it.
        finder: builds the finder.

    Raises:
        DataError: the folder is not prepared.
    """

    def __init__(self, folder: Path, finder: Callable[[], Finder]) -> None:
        self.plan = read_plan(folder)
        self._folder = folder
        self._build = finder

    @cached_property
    def _finder(self) -> Finder:
        return self._build()

    @cached_property
    def _examples(self) -> Examples:
        return Examples.load(self._folder / _SOURCE)

    def make(self, shard: int) -> None:
        """Write the shard, unless it is there."""
        path = shard_path(self._folder, shard)
        if path.exists():
            return
        plan, examples = self.plan, self._examples
        span = plan.source_rows(shard)
        sides = [side for side in (examples.texts, examples.text_pairs) if side is not None]
        found = self._finder.find([side[row] for side in sides for row in span])
        rows: list[AugmentedRow] = []
        for place, row in enumerate(span):
            label = None if examples.labels is None else examples.labels[row]
            for number, text, text_pair, replaced in make_variants(
                [side[row] for side in sides],
                [found[place + number * len(span)] for number in range(len(sides))],
                variants=plan.variants,
                probability=plan.probability,
                random=row_generator(plan.seed, row),
            ):
                rows.append(AugmentedRow(text, text_pair, label, row, number, replaced))
        write_shard(path, rows, examples)


def augment(
    examples: Examples,
    finder: Callable[[], Finder],
    folder: Path,
    *,
    variants: int = 20,
    probability: float = 0.4,
    seed: int,
    shard_rows: int = SHARD_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> AugmentedSizes:
    """Write variants of all examples, in this process. Run again after a kill, it makes the missing shards.

    Args:
        examples: what to make variants of.
        finder: builds the finder; called when the first shard is made. The folder does not know it: with
            another finder, take another folder.
        folder: for ``load_augmented`` and ``sample_augmented``; made where it is not there.
        variants: N, the most that an example gets beside itself.
        probability: p, with which each replaceable word is replaced.
        seed: of all draws.
        shard_rows: source rows of a shard, which the finder gets together.
        progress: called with the source rows that are done and their total, at the start and after each
            shard.

    Raises:
        DataError: there are no examples, or what is in the folder is damaged.
        RunFolderError: the folder holds an augmentation of other examples or with other settings.
        ShapeError: a setting that is out of range.
    """
    prepare(examples, folder, variants=variants, probability=probability, seed=seed, shard_rows=shard_rows)
    maker = ShardMaker(folder, finder)
    missing = missing_shards(folder)
    report = progress or (lambda done, total: None)
    report(maker.plan.rows_outside(missing), maker.plan.rows)
    while missing:
        maker.make(missing.pop(0))
        report(maker.plan.rows_outside(missing), maker.plan.rows)
    return finish(folder)


def prepare(
    examples: Examples,
    folder: Path,
    *,
    variants: int = 20,
    probability: float = 0.4,
    seed: int,
    shard_rows: int = SHARD_ROWS,
) -> None:
    """Put examples and settings into the folder, for any number of ``ShardMaker`` to work on.

    Arguments and errors are those of ``augment``.
    """
    if not examples.texts:
        raise DataError("there are no examples to augment; expected at least one")
    if examples.word_labels:
        raise DataError(
            "the examples' words have labels, which would not follow replaced words: make_word_variants "
            "varies one such text"
        )
    if variants < 0 or not 0 <= probability <= 1 or seed < 0 or shard_rows < 1:
        raise ShapeError(
            f"got variants={variants}, probability={probability}, seed={seed}, shard_rows={shard_rows}: "
            "expected variants and seed from 0, a probability from 0 to 1, and at least one row a shard"
        )
    plan = Plan(len(examples), variants, probability, seed, shard_rows)
    if (folder / _PLAN).exists():
        _refuse_another(folder, plan, examples)
        return
    folder.mkdir(parents=True, exist_ok=True)
    # The plan comes last: where it is, the examples are whole.
    examples.save(folder / _SOURCE)
    with whole_file(folder / _PLAN) as partial:
        partial.write_text(json.dumps(asdict(plan), indent=1), encoding="utf-8")


def read_plan(folder: Path) -> Plan:
    """What ``prepare`` wrote.

    Raises:
        DataError: the folder is not prepared.
    """
    try:
        return Plan(**json.loads((folder / _PLAN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{folder} holds no augmentation ({error}): prepare it first.") from error


def missing_shards(folder: Path) -> list[int]:
    """The shards of a prepared folder that are still to be made."""
    return [shard for shard in read_plan(folder).shards if not shard_path(folder, shard).exists()]


def finish(folder: Path) -> AugmentedSizes:
    """Count what is there and write the index, once no shard is missing.

    Raises:
        DataError: shards are missing or damaged.
    """
    if missing := missing_shards(folder):
        raise DataError(
            f"{folder} misses {len(missing)} of {len(read_plan(folder).shards)} shards: run the augmentation "
            "again; what is finished is kept."
        )
    sizes = write_index(folder, len(read_plan(folder).shards))
    for litter in folder.glob(".shard-*.partial"):  # of processes that were killed
        litter.unlink(missing_ok=True)
    return sizes


def _refuse_another(folder: Path, plan: Plan, examples: Examples) -> None:
    before, now = asdict(read_plan(folder)), asdict(plan)
    different = [f"{name} {before[name]}, now {now[name]}" for name in now if before[name] != now[name]]
    if not different and Examples.load(folder / _SOURCE) != examples:
        different = ["the examples are others"]
    if different:
        raise RunFolderError(
            f"{folder} holds another augmentation ({'; '.join(different)}): choose another folder, or delete "
            "this one."
        )
