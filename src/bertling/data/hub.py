"""Reads data sets of the Hugging Face hub, or local folders of the same form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bertling.data.corpus import require_column, require_text, texts_of
from bertling.data.examples import Examples
from bertling.data.loading import to_examples, wanted_columns
from bertling.data.problems import RowProblems
from bertling.data.tables import Columns, require_columns
from bertling.errors import DataError, MissingExtraError
from bertling.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


def read_hub(name: str, task: Task, *, train_split: str, test_split: str) -> tuple[Examples, Examples]:
    """Training and test examples of ``owner/name`` or ``owner/name:config``.

    A local folder of that name is taken before the hub is asked. Class ids of a ClassLabel column are
    replaced by their names; where ``task.labels`` is None, the column's names are the label names.

    Args:
        name: the data set.
        task: its columns and labels.
        train_split: split to train on; the slices of ``datasets``, such as ``train[:10%]``, work.
        test_split: split that is reported.

    Raises:
        DataError: neither a local folder nor reachable on the hub, no such config or split, labels that
            are hidden (-1), or rows that cannot be used.
        MissingExtraError: the package ``datasets`` is not installed.
    """
    class_label = _datasets(name).ClassLabel
    splits = [train_split, test_split]
    loaded: list[Dataset] = _load(name, split=splits)
    columns = []
    names: list[list[str] | None] = []
    for split, dataset in zip(splits, loaded, strict=True):
        source = f"{name} ({split})"
        require_columns(source, wanted_columns(task), dataset.column_names)
        values: dict[str, list[Any]] = dataset.select_columns(wanted_columns(task))[:]
        feature = dataset.features[task.label]
        classes = feature.names if isinstance(feature, class_label) else None
        values[task.label] = _visible_labels(source, values[task.label], classes, task)
        columns.append(Columns(source, "row", list(range(1, len(dataset) + 1)), values))
        names.append(classes)
    from_classes = names[0] if task.labels is None and not task.regression else None
    train = to_examples(columns[0], task, label_names=from_classes)
    return train, to_examples(columns[1], task, label_names=train.label_names)


def read_hub_corpus(name: str, *, split: str, column: str) -> Iterator[str]:
    """Stream the texts of ``owner/name`` or ``owner/name:config``, cleaned and split as by `read_corpus`.

    A local folder of that name is taken before the hub is asked. No copy is kept on disk.

    Args:
        name: the data set.
        split: one split as a whole, or several, such as ``train+validation``; slices cannot be streamed.
        column: the column that holds the text.

    Raises:
        DataError: neither a local folder nor reachable on the hub, no such config, split or column, values
            that are not text (with row numbers), no text at all.
        MissingExtraError: the package ``datasets`` is not installed.
    """
    _datasets(name)
    dataset = _load(name, split=split, streaming=True)
    source = f"{name} ({split})"
    return require_text(source, texts_of(source, "row", column, _values(source, column, dataset)))


def _values(source: str, column: str, dataset: IterableDataset) -> Iterator[tuple[int, object]]:
    try:
        # Where the files do not say which columns they have, the first row does.
        require_column(source, column, dataset.column_names or list(next(iter(dataset), {})))
        for row, example in enumerate(dataset.select_columns(column), start=1):
            yield row, example[column]
    except _errors() as error:
        raise DataError(f"{source} cannot be read: {_detail(error)}") from error


def _datasets(name: str) -> Any:
    # Imported where it is used: it is optional and takes seconds, and most runs read files.
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "datasets", extra="hub", needed_for=f"Reading the data set {name!r}"
        ) from error
    return datasets


def _load(name: str, *, split: str | list[str], streaming: bool = False) -> Any:
    import datasets

    path, config = (name, None) if Path(name).exists() else _split_name(name)
    local = Path(path)
    if local.is_file():
        raise DataError(
            f"{local} is a file, expected a data set or folder: files have settings of their own."
        )
    try:
        with _no_progress_bars():
            return datasets.load_dataset(path, config, split=split, streaming=streaming)
    except _errors() as error:
        if isinstance(error, OSError) and not local.exists():
            raise DataError(
                f"There is no local folder {local.absolute()}, and the data set {path!r} could not be had "
                f"from the hub: {error}. Check the name and the network, or give a local folder or files."
            ) from error
        raise DataError(f"The data set {name!r} cannot be loaded: {_detail(error)}") from error


def _errors() -> tuple[type[Exception], ...]:
    """What reading a data set raises where the data or the network are at fault."""
    from datasets.exceptions import DatasetsError

    return (OSError, ValueError, KeyError, RuntimeError, pa.ArrowException, DatasetsError)


def _detail(error: Exception) -> str:
    return f"{error} ({error.__cause__})" if error.__cause__ else str(error)


def _split_name(name: str) -> tuple[str, str | None]:
    path, _, config = name.partition(":")
    return path, config or None


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    import datasets

    were_disabled = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not were_disabled:
            datasets.enable_progress_bars()


def _visible_labels(source: str, values: list[Any], classes: list[str] | None, task: Task) -> list[object]:
    """Labels with class ids replaced by their raw values; raises where they are hidden."""
    problems = RowProblems(source, "row")
    # -1 is a proper value of a number to predict, unless there is nothing else.
    hidden = (classes is not None) or all(value == -1 for value in values)
    for row, value in enumerate(values, start=1):
        if hidden and value == -1:
            problems.add("hidden label (-1)", row)
    problems.raise_if_any(
        "-1 stands for a label that is not public or not known: choose a split whose rows all have labels, "
        "or give files of the rows that have them."
    )
    if classes is None:
        return values
    # A class may be called by the task's raw value or by its label name.
    raw_values = {name: raw for raw, name in (task.labels or {}).items()}
    raw_values |= {raw: raw for raw in task.labels or {}}
    return [None if value is None else raw_values.get(classes[value], classes[value]) for value in values]
