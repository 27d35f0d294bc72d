"""Fuzz all readers of foreign files, one after the other, each in a process of its own.

    PYTHONPATH=src python -m tests.fuzzing --seconds 1800 --work FOLDER

Needs the package atheris, which guides inputs by the branches that they reach. The exit code is 1 where there
are findings: an exception that is no BertlingError, more than ten seconds of processor time or 768 MiB of
memory for one input, a process or code started, a file written outside of the folder that it was given. Each
is kept in FOLDER/TARGET/findings, with its input, whose first byte chooses the variant and the second the
kind of task.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.fuzzing.one_target import NAMES, fuzz

_GRACE_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=600, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True, help="a folder for inputs and findings")
    parser.add_argument("--targets", nargs="+", default=NAMES, choices=NAMES)
    arguments = parser.parse_args()
    inputs = found = 0
    for name in arguments.targets:
        share = arguments.seconds // len(arguments.targets)
        outcomes, kinds = _fuzz(name, arguments.work.resolve() / name, share, arguments.seed)
        inputs, found = inputs + sum(outcomes.values()), found + len(kinds)
        shown = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
        print(f"{name:<10} {shown}", *(f"  {count:>6}  {kind}" for kind, count in kinds.items()), sep="\n")
        sys.stdout.flush()
    print(f"{inputs:,} inputs, {found} kinds of finding, seed {arguments.seed}")
    return 1 if found else 0


def _fuzz(name: str, folder: Path, seconds: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """Outcomes and findings of one target; a process that dies goes on with what is left of its time."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    left = seconds
    while left > 0:
        (folder / "stats.json").unlink(missing_ok=True)
        # Forked, since importing takes longer than many an input.
        process = get_context("fork").Process(target=fuzz, args=(name, folder, left, seed))
        process.start()
        process.join(left + _GRACE_SECONDS)
        ended: int | str | None = process.exitcode
        if process.is_alive():
            process.kill()
            process.join()
            ended = "a hang"
        stats: dict[str, Any] = {"seconds": left, "outcomes": {}, "kinds": {}}
        if (folder / "stats.json").exists():
            stats = json.loads((folder / "stats.json").read_text(encoding="utf-8"))
        outcomes += Counter(stats["outcomes"])
        kinds += Counter(stats["kinds"])
        if ended == 0:
            break
        kinds[f"the process ended with {ended}"] += 1
        if (folder / "current.input").exists():
            (folder / "current.input").replace(folder / f"ended-{seed}-{left}.input")
        left, seed = left - int(stats["seconds"]) - 1, seed + 1
    return outcomes, kinds


if __name__ == "__main__":
    sys.exit(main())
