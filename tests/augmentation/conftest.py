from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import tiny


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    yield from tiny.one_thread()
