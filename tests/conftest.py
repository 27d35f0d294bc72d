"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before anything imports huggingface_hub: a test that asks the hub fails at once instead of after retries.
os.environ["HF_HUB_OFFLINE"] = "1"

_SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data beside the project; skips where it is absent, but fails in CI."""
    if not _SHARED_DATA.is_dir():
        reason = "the real data (../shared/data from the project's root) is absent"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and must not be in CI")
        pytest.skip(reason)
    return _SHARED_DATA
