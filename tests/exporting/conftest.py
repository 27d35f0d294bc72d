from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import tiny
from tests.exporting import exported

from bertling.results_of_exports import Export


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    yield from tiny.one_thread()


@pytest.fixture(scope="package")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Export]:
    """A BERT of pairs in every precision, to be looked at and left as it is."""
    folder = tmp_path_factory.mktemp("written") / "export"
    return folder, exported.write(folder, "pairs", exported.model_of("pairs"))
