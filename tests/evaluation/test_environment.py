from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch

from bertling.evaluation.environment import cpu_name, describe_environment, source_commit
from bertling.results import Environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # a git hook that runs the tests sets some
    git(tmp_path, "init", "--quiet")
    (tmp_path / "source.py").write_text("a = 1\n")
    git(tmp_path, "add", "source.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_an_environment_says_where_it_is() -> None:
    environment = describe_environment(threads=3)
    date = datetime.fromisoformat(environment.date)
    assert date.utcoffset() == timedelta(0)
    assert abs(datetime.now(date.tzinfo) - date) < timedelta(days=1)
    assert environment.threads == 3
    assert 1 <= environment.cores <= (os.cpu_count() or 1)
    assert environment.memory_bytes > 2**28
    assert environment.cpu
    assert environment.python == platform.python_version()
    assert environment.versions["torch"] == torch.__version__
    assert environment.versions["numpy"] == np.__version__
    assert {"transformers", "accelerate", "tokenizers", "safetensors"} <= environment.versions.keys()
    assert (environment.accelerator is None) == (not torch.cuda.is_available())
    assert Environment.model_validate_json(environment.model_dump_json()) == environment


def test_what_is_installed_is_listed_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch": "2.13.0", "onnxruntime": "1.27.0"}

    def version(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr("bertling.evaluation.environment.version", version)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # an import would fail
    assert describe_environment(threads=1).versions == installed


def test_the_commit_is_that_of_the_checkout(checkout: Path) -> None:
    git(checkout, "tag", "--annotate", "--message", "a tag", "v1")
    assert source_commit(checkout / "source.py") == git(checkout, "rev-parse", "HEAD")


def test_changed_source_is_not_the_commit(checkout: Path) -> None:
    (checkout / "source.py").write_text("a = 2\n")
    assert source_commit(checkout / "source.py") == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_a_file_that_a_checkout_does_not_track_has_no_commit(checkout: Path) -> None:
    installed = checkout / "venv" / "source.py"
    installed.parent.mkdir()
    installed.write_text("a = 1\n")
    assert source_commit(installed) is None


def test_without_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "source.py").write_text("a = 1\n")
    assert source_commit(tmp_path / "source.py") is None


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert source_commit(checkout / "source.py") is None


def test_the_cpu_is_the_first_model_name(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel\t\t: 17\nmodel name\t: A CPU: fast\n\nmodel name\t: Another\n")
    assert cpu_name(cpuinfo) == "A CPU: fast"


@pytest.mark.parametrize("text", [None, "processor\t: 0\nBogoMIPS\t: 50.00\n"])
def test_a_cpu_without_a_model_name_is_what_the_platform_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    cpuinfo = tmp_path / "cpuinfo"
    if text is not None:
        cpuinfo.write_text(text)
    assert cpu_name(cpuinfo) == "aarch64"
