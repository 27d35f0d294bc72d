"""Augmented examples on disk: parquet shards, each of the variants of a run of source rows, and an index."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bertling.augmentation.variants import Replacement
from bertling.data.examples import LABEL_NAMES_KEY, Examples
from bertling.errors import DataError
from bertling.files import whole_file

_INDEX = "index.json"
_REPLACED = pa.list_(
    pa.struct(
        [
            ("side", pa.int8()),
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("word", pa.string()),
            ("replacement", pa.string()),
        ]
    )
)


class AugmentedRow(NamedTuple):
    """A variant of the source row ``source_row``, both counted from 0; variant 0 is the original."""

    text: str
    text_pair: str | None
    label: int | float | list[int] | None
    source_row: int
    variant: int
    replaced: tuple[Replacement, ...]


@dataclass(frozen=True)
class AugmentedSizes:
    """How much there is.

    Attributes:
        rows: of the augmented set, the originals included.
        source_rows: rows that it was made from.
        unvaried_rows: source rows that got no variant.
    """

    rows: int
    source_rows: int
    unvaried_rows: int

    @property
    def unvaried_fraction(self) -> float:
        """Share of the source rows that got no variant."""
        return self.unvaried_rows / self.source_rows


def load_augmented(folder: Path) -> Examples:
    """All originals and variants, in the order of the source, each with its source row's label.

    Raises:
        DataError: the augmentation is not finished, or a shard is missing or damaged.
    """
    index = _read_index(folder)
    tables = [
        _read_shard(shard_path(folder, number), ("text", "text_pair", "label"))
        for number in range(len(index["shards"]))
    ]
    label_names = json.loads(tables[0].schema.metadata[LABEL_NAMES_KEY])
    columns = pa.concat_tables(tables).to_pydict()
    return Examples(columns["text"], columns.get("text_pair"), columns.get("label"), label_names)


def sample_augmented(folder: Path, count: int, *, seed: int) -> list[AugmentedRow]:
    """A random sample of ``count`` variants, originals left out, in order; all if there are fewer.

    Only the shards that are drawn from are read, one at a time.

    Raises:
        DataError: the augmentation is not finished, or a shard is missing or damaged.
    """
    made = [shard["rows"] - shard["source_rows"] for shard in _read_index(folder)["shards"]]
    chosen = random.Random(seed).sample(range(sum(made)), min(count, sum(made)))
    sample: list[AugmentedRow] = []
    first = 0
    for number, variants in enumerate(made):
        mine = sorted(index - first for index in chosen if first <= index < first + variants)
        first += variants
        if mine:
            table = _read_shard(shard_path(folder, number))
            sample += map(_to_row, table.filter(pc.greater(table["variant"], 0)).take(mine).to_pylist())
    return sample


def read_sizes(folder: Path) -> AugmentedSizes:
    """Sizes of a finished augmentation.

    Raises:
        DataError: it is not finished.
    """
    shards = _read_index(folder)["shards"]
    return AugmentedSizes(
        *(sum(shard[key] for shard in shards) for key in ("rows", "source_rows", "unvaried_rows"))
    )


def shard_path(folder: Path, number: int) -> Path:
    """Where shard ``number``, from 0, is or will be."""
    return folder / f"shard-{number:05d}.parquet"


def write_shard(path: Path, rows: Sequence[AugmentedRow], source: Examples) -> None:
    """Write the rows made from some examples of ``source``; ``path`` is not there before it is whole."""
    columns = {"text": pa.array([row.text for row in rows], pa.string())}
    if source.text_pairs is not None:
        columns["text_pair"] = pa.array([row.text_pair for row in rows], pa.string())
    if source.labels is not None:
        kind = pa.float64() if source.regression else pa.int64()
        if source.multi_label:
            kind = pa.list_(kind)
        columns["label"] = pa.array([row.label for row in rows], kind)
    columns["source_row"] = pa.array([row.source_row for row in rows], pa.int64())
    columns["variant"] = pa.array([row.variant for row in rows], pa.int32())
    columns["replaced"] = pa.array([row.replaced for row in rows], _REPLACED)
    table = pa.table(columns).replace_schema_metadata({LABEL_NAMES_KEY: json.dumps(source.label_names)})
    with whole_file(path) as partial:
        pq.write_table(table, partial)


def write_index(folder: Path, shards: int) -> AugmentedSizes:
    """Count what the shards hold, and write that down: with the index, the augmentation is finished.

    Raises:
        DataError: a shard is missing or damaged.
    """
    counts = [_count(_read_shard(shard_path(folder, number), ("source_row",))) for number in range(shards)]
    with whole_file(folder / _INDEX) as partial:
        partial.write_text(json.dumps({"shards": counts}, indent=1), encoding="utf-8")
    return read_sizes(folder)


def _count(table: pa.Table) -> dict[str, int]:
    of_each = pc.value_counts(table["source_row"]).field("counts")
    return {
        "rows": table.num_rows,
        "source_rows": len(of_each),
        "unvaried_rows": pc.sum(pc.equal(of_each, 1)).as_py() or 0,
    }


def _read_index(folder: Path) -> Any:
    path = folder / _INDEX
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no finished augmentation: there is no {_INDEX}. Run the augmentation (again): "
            "what is finished is kept."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): delete it, and run the augmentation again."
        ) from error


def _read_shard(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            wanted = columns and [name for name in columns if name in file.schema_arrow.names]
            return file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): delete it if it is there, and run the augmentation again."
        ) from error


def _to_row(columns: dict[str, Any]) -> AugmentedRow:
    replaced = tuple(Replacement(**fields) for fields in columns.pop("replaced"))
    return AugmentedRow(
        columns["text"],
        columns.get("text_pair"),
        columns.get("label"),
        columns["source_row"],
        columns["variant"],
        replaced,
    )
