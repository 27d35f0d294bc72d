"""Where and with what a figure was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from bertling.results import Environment

_PACKAGES = (
    *("bertling", "torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy"),
    "onnxruntime",
)


def describe_environment(*, threads: int) -> Environment:
    """The machine and the software of this process.

    ``commit`` is that of bertling's own source, with "-dirty" behind it where a tracked file was changed
    since, and None where bertling is not run from a checkout. ``cores`` are those that this process may use.
    ``versions`` holds the packages that decide what a run or an export computes; one that is not installed
    is left out.

    Args:
        threads: torch's threads, as used for what is measured.
    """
    return Environment(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=source_commit(Path(__file__)),
        cpu=cpu_name(Path("/proc/cpuinfo")),
        cores=_available_cores(),
        threads=threads,
        memory_bytes=psutil.virtual_memory().total,
        accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        python=platform.python_version(),
        versions=_installed_versions(),
    )


def source_commit(source: Path) -> str | None:
    """Commit of the checkout that tracks the file ``source``, or None.

    An installed package may lie inside somebody else's checkout, in its virtual environment: so the file
    itself has to be tracked.
    """
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None
    return _git(source.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def cpu_name(cpuinfo: Path) -> str:
    """Model name of the first CPU in a file like Linux's ``/proc/cpuinfo``, else what ``platform`` knows."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None where git is missing or fails."""
    try:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _installed_versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
